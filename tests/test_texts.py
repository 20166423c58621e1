"""What people read: translated whole, rendered with all its values, and short where it must be."""

import gettext
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from gateway.channels import Channel
from gateway.i18n import LANGUAGES, RIGHT_TO_LEFT, TEMPLATES, catalogue, direction, pick_language, translate
from gateway.render import WrongText, render_bot_text, render_email, render_message, use_messages_folder
from gateway.segments import segments
from tests.servers import ROOT
from web.pages import LANGUAGE_NAMES

BOT_TEXTS = sorted(path.stem for path in (TEMPLATES / "bot/en").glob("*.txt"))
BOT_VALUES: dict[str, Any] = {
    "site": "Kodgate",
    "mask": "+7 ••• ••• 36",
    "yours": "+7 ••• ••• 37",
    "browser": "Firefox, Linux",
    "place": "Germany (Berlin)",
    "coming": True,
}


PLACEHOLDER = re.compile(r"%\(\w+\)\w|</?b>")
ENGLISH, *TRANSLATED = LANGUAGES
MAP = ["--mapping", "babel.cfg", "--keyword", "N_", "--no-location", "--no-wrap", "--sort-output", "--omit-header"]


def catalog(path: Path, lang: str | None = None) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=lang)


def held(lang: str) -> Catalog:
    return catalog(path_of(lang), lang)


def path_of(lang: str) -> Path:
    return TEMPLATES / "locale" / lang / "LC_MESSAGES/kodgate.po"


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The ids of every string that we mark, in the order that `make translations` writes them."""
    path = tmp_path_factory.mktemp("pot") / "new.pot"
    command = [
        sys.executable,
        "-m",
        "babel.messages.frontend",
        "--quiet",
        "extract",
        *MAP,
        "--output",
        str(path),
        ".",
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    return [message.id for message in catalog(path) if message.id]


@pytest.mark.parametrize("lang", TRANSLATED)
def test_every_string_is_translated_and_none_is_left_over(lang: str, wanted: list[Any]) -> None:
    messages = [message for message in held(lang) if message.id]
    assert {message.id for message in messages} - set(wanted) == set(), "unused"
    assert set(wanted) - {message.id for message in messages if all(_texts(message.string))} == set(), "missing"
    assert not held(lang).obsolete
    assert not any(message.fuzzy for message in messages)
    assert [message.id for message in messages] == wanted, "not as `make translations` sorts them"


@pytest.mark.parametrize("lang", TRANSLATED)
def test_a_catalogue_is_as_make_translations_writes_it(lang: str) -> None:
    head, body = path_of(lang).read_text("utf-8").split("\n\n", 1)
    again = BytesIO()
    write_po(again, held(lang), width=0, omit_header=True)
    assert again.getvalue().decode().strip() == body.strip()
    assert "POT-Creation-Date" not in head


@pytest.mark.parametrize("lang", TRANSLATED)
def test_translations_keep_their_placeholders(lang: str) -> None:
    for message in held(lang):
        if message.id:
            for text in _texts(message.string):
                assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(_texts(message.id)[0])), (
                    text
                )
                assert len(text % Anything()) > 0


@pytest.mark.parametrize("lang", TRANSLATED)
def test_the_steps_name_the_button_as_the_bot_does(lang: str) -> None:
    button = translate(lang, "Share my number")
    assert f"<b>{button}</b>" in catalogue(lang).gettext("Tap <b>Share my number</b>: it must be %(mask)s.")


@pytest.mark.parametrize("lang", TRANSLATED)
def test_plural_forms_are_cldrs(lang: str) -> None:
    """Each of CLDR's categories that whole numbers have is one form here, and the other way round."""
    form = gettext.c2py(str(held(lang).plural_expr))
    category = Locale.parse(lang).plural_form
    pairs = {(form(number), category(number)) for number in range(1000)}
    assert len(pairs) == held(lang).num_plurals
    assert {first for first, _ in pairs} == set(range(held(lang).num_plurals))
    assert len({second for _, second in pairs}) == held(lang).num_plurals


def test_plurals_are_said_as_people_say_them() -> None:
    def code(lang: str, length: int) -> str:
        text: str = catalogue(lang).ngettext("Code, %(num)d digit", "Code, %(num)d digits", length)
        return text % {"num": length}

    assert [code("en", number) for number in (1, 4)] == ["Code, 1 digit", "Code, 4 digits"]
    assert [code("ru", number) for number in (1, 4, 6)] == ["Код, 1 цифра", "Код, 4 цифры", "Код, 6 цифр"]
    assert [code("uk", number) for number in (1, 4, 6)] == ["Код, 1 цифра", "Код, 4 цифри", "Код, 6 цифр"]
    assert [code("de", number) for number in (1, 6)] == ["Code, 1 Ziffer", "Code, 6 Ziffern"]


@pytest.mark.parametrize("lang", TRANSLATED)
def test_the_catalogue_is_compiled(lang: str) -> None:
    assert translate(lang, "Log in") == held(lang).get("Log in").string  # type: ignore[union-attr]
    assert translate(lang, "Log in") != "Log in"


def test_every_language_has_its_name_and_its_direction() -> None:
    assert tuple(LANGUAGE_NAMES) == LANGUAGES
    for lang in (*LANGUAGES, *RIGHT_TO_LEFT):
        assert direction(lang) == Locale.parse(lang).text_direction
    for lang in LANGUAGES:
        assert own_name(lang) in LANGUAGE_NAMES[lang].casefold()


def own_name(lang: str) -> str:
    """CLDR writes Uzbek with another apostrophe than its alphabet."""
    name = str(Locale.parse(lang).get_language_name(lang)).casefold()
    return name.replace("\u2018", "\u02bb").replace("\u2019", "\u02bb").partition(" ")[0]


class Anything(dict[str, Any]):
    """Fills every placeholder."""

    def __missing__(self, name: str) -> int:
        return 7


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", BOT_TEXTS)
def test_the_bot_says_everything_in_every_language(name: str, lang: str) -> None:
    for coming in (True, False):
        values = BOT_VALUES | {"coming": coming, "browser": "Firefox, Linux" if coming else ""}
        text = render_bot_text(name, lang, **values)
        assert text
        assert "{" not in text
        english = render_bot_text(name, "en", **values)
        assert named(text) == named(english)
        if lang != "en":
            assert text != english


@pytest.mark.parametrize("kind", ["bot/{}", *(f"messages/{channel}" for channel in Channel)])
@pytest.mark.parametrize("lang", TRANSLATED)
def test_no_language_lacks_a_text_or_has_one_of_its_own(lang: str, kind: str) -> None:
    assert files_of(kind, lang) == files_of(kind, "en")


def files_of(kind: str, lang: str) -> set[str]:
    """`bot/ru/help.txt` as `help.txt`, `messages/email/ru.html` as `html`."""
    if "{}" in kind:
        return {path.name for path in (TEMPLATES / kind.format(lang)).iterdir()}
    return {path.name.partition(".")[2] for path in (TEMPLATES / kind).glob(f"{lang}.*")}


def named(text: str) -> list[str]:
    """What a text must tell in every language: the values, the commands, the bot's brand."""
    words = (str(value) for value in BOT_VALUES.values() if isinstance(value, str))
    return [word for word in (*words, "/start", "/stop", "Telegram") if word in text]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("channel", list(Channel))
def test_every_message_holds_the_code_and_whose_it_is(channel: Channel, lang: str) -> None:
    text = render_message(channel, lang, code="123456", project="Kodgate", minutes=3, host="login.example.com")
    assert "123456" in text
    assert "Kodgate" in text
    assert "{" not in text
    if lang != "en":
        english = render_message(
            channel, "en", code="123456", project="Kodgate", minutes=3, host="login.example.com"
        )
        assert text != english


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("minutes", [1, 3])
def test_a_letter_holds_the_code_and_whose_it_is(lang: str, minutes: int) -> None:
    letter = render_email(lang, code="123456", project="Kodgate", minutes=minutes, host="login.example.com")
    assert letter.subject.startswith("123456")
    assert "Kodgate" in letter.subject
    assert f'<html lang="{lang}">' in letter.html
    assert ">123456<" in letter.html
    assert f"{minutes} " in letter.html
    assert "{" not in re.sub(r"<style>.*?</style>", "", letter.html)
    if lang != "en":
        english = render_email("en", code="123456", project="Kodgate", minutes=minutes, host="login.example.com")
        assert not lines(letter.html) & lines(english.html)


def lines(html: str) -> set[str]:
    """What a letter says, without its code and its sender."""
    texts = {text.strip() for text in re.findall(r">([^<>]+)<", html)}
    return {text for text in texts if re.search("[^\\W\\d]", text)} - {
        "Kodgate",
        ":root { color-scheme: light dark }",
    }


@pytest.mark.parametrize("lang", LANGUAGES)
def test_one_minute_is_not_said_as_several(lang: str) -> None:
    plural = {"en": "1 minutes", "de": "1 Minuten", "es": "1 minutos"}.get(lang)
    for channel in Channel:
        text = render_message(channel, lang, code="2", project="Kodgate", minutes=1, host="login.example.com")
        assert plural is None or plural not in text


def test_an_unknown_language_gets_english() -> None:
    assert render_message(Channel.SMS, "xx", code="1", project="S", minutes=1, host="h").startswith("S: your code")


@pytest.mark.parametrize(
    ("wishes", "lang"),
    [
        (("ru",), "ru"),
        (("RU_ru",), "ru"),
        (("ru-RU,ru;q=0.9,en;q=0.8",), "ru"),
        (("en;q=0.1, ru;q=0.9",), "ru"),
        (("fr-FR,fr;q=0.9",), "en"),
        (("xx", "ru"), "ru"),
        (("", None), "en"),
        (("ru;q=nonsense, en;q=0.5",), "en"),
        ((",;,;q=,",), "en"),
        (("uk-UA",), "uk"),
        (("kk",), "kk"),
        (("uz-Latn-UZ",), "uz"),
        (("uz_Cyrl_UZ",), "uz"),
        (("es-419,es;q=0.9,en;q=0.8",), "es"),
        (("de-AT",), "de"),
        (("tr-TR,tr;q=0.9",), "tr"),
        (("pt-BR",), "en"),
        (("pt-BR,pt;q=0.9,es;q=0.4",), "es"),
        (("ar-EG, fa;q=0.5",), "en"),
        (("ukr",), "en"),
    ],
)
def test_the_language_is_the_best_wish_that_we_have(wishes: tuple[str | None, ...], lang: str) -> None:
    assert pick_language(*wishes) == lang


def _texts(text: Any) -> list[str]:
    return list(text) if isinstance(text, (list, tuple)) else [text]


# SMS


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 160, 1), ("a" * 161, 2), ("€" * 80, 1), ("€" * 81, 2), ("я" * 70, 1), ("я" * 71, 2),
        ("a" * 69 + "я", 1), ("a" * 70 + "я", 2), ("👍" * 35, 1), ("👍" * 36, 2), ("a" * 306, 2), ("a" * 307, 3),
        ("", 1),
    ],
)  # fmt: skip
def test_segments_are_counted_as_networks_do(text: str, count: int) -> None:
    assert segments(text) == count


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("project", ["Kodgate", "Лавка", "Магазин у дома на углу", "A shop {of} names, €1" * 3])
@pytest.mark.parametrize("host", ["x.io", "login.example.com", "login.magazin-u-doma.example.com"])
def test_an_sms_is_one_segment_and_ends_with_the_webotp_line(lang: str, project: str, host: str) -> None:
    text = render_message(Channel.SMS, lang, code="Z8K4QP", project=project, minutes=60, host=host)
    assert segments(text) == 1
    assert text.endswith(f"\n\n@{host} #Z8K4QP")
    assert text.count("Z8K4QP") == 2


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_sms_of_a_usual_site_names_it_and_warns(lang: str) -> None:
    """At most its life is left out."""
    text = render_message(Channel.SMS, lang, code="123456", project="Kodgate", minutes=3, host="login.example.com")
    template = (TEMPLATES / f"messages/sms/{lang}.txt").read_text("utf-8")
    warning = re.findall(r"{% if brief < 2 %}(.*?){% endif %}", template)[0]
    assert segments(text) == 1
    assert text.startswith("Kodgate: ")
    assert warning in text


@pytest.mark.parametrize("lang", ["en", "uz", "es", "de", "tr"])
def test_an_sms_in_a_latin_alphabet_needs_no_letter_beyond_gsm(lang: str) -> None:
    """One such letter would leave room for 70 characters instead of 160, and for half of what there is to say."""
    host = "a-site-with-a-rather-long-name.example.com"
    text = render_message(Channel.SMS, lang, code="123456", project="Kodgate", minutes=3, host=host)
    assert len(text) > 70
    assert segments(text) == 1
    assert " 3 " in text


def test_an_sms_says_all_there_is_room_for() -> None:
    text = render_message(Channel.SMS, "en", code="123456", project="Kodgate", minutes=3, host="login.example.com")
    assert text.startswith("Kodgate: your code is 123456. Valid 3 min. Do not share it.\n")


# An operator's own texts


def test_an_operators_texts_come_before_ours_and_a_projects_before_those(tmp_path: Path) -> None:
    for place, text in (("sms/en.txt", "All: {{ code }}"), ("2/sms/en.txt", "Two: {{ code }}")):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    values: dict[str, Any] = {"code": "123456", "project": "Shop", "minutes": 3, "host": "x.io"}
    try:
        use_messages_folder(tmp_path)
        assert render_message(Channel.SMS, "en", project_id=1, **values) == "All: 123456"
        assert render_message(Channel.SMS, "en", project_id=2, **values) == "Two: 123456"
        assert render_message(Channel.SMS, "ru", project_id=2, **values).startswith("Shop: код 123456")
        assert render_message(Channel.VIBER, "en", project_id=2, **values).startswith("123456 is your login code")
    finally:
        use_messages_folder(None)
    assert render_message(Channel.SMS, "en", project_id=2, **values).startswith("Shop: your code")


@pytest.mark.parametrize("text", ["{{ cod }}", "{% if %}", "without the code"])
def test_a_wrong_text_of_an_operator_is_named_at_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "sms").mkdir()
    (tmp_path / "sms/ru.txt").write_text(text)
    try:
        with pytest.raises(WrongText, match=r"sms/ru\.txt"):
            use_messages_folder(tmp_path)
    finally:
        use_messages_folder(None)
