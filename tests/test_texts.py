"""What people read: translated whole, rendered with all its values, and short where it must be."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from gateway.channels import Channel
from gateway.i18n import LANGUAGES, TEMPLATES, catalogue, pick_language, translate
from gateway.render import WrongText, render_bot_text, render_message, use_messages_folder
from gateway.segments import segments
from tests.servers import ROOT

BOT_TEXTS = sorted(path.stem for path in (TEMPLATES / "bot/en").glob("*.txt"))
BOT_VALUES: dict[str, Any] = {
    "site": "Kodgate",
    "mask": "+7 ••• ••• 36",
    "yours": "+7 ••• ••• 37",
    "browser": "Firefox, Linux",
    "place": "Germany (Berlin)",
    "coming": True,
}


def catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def test_every_string_is_translated_and_none_is_left_over(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "babel.messages.frontend", "--quiet", "extract", "--mapping", "babel.cfg"]
    command += ["--keyword", "N_", "--output", str(tmp_path / "new.pot"), "."]
    subprocess.run(command, cwd=ROOT, check=True)
    wanted = {message.id for message in catalog(tmp_path / "new.pot") if message.id}
    for lang in LANGUAGES:
        if lang == "en":
            continue
        held = catalog(TEMPLATES / "locale" / lang / "LC_MESSAGES/kodgate.po")
        translated = {message.id for message in held if message.id and all(_texts(message.string))}
        assert wanted - translated == set(), f"missing in {lang}"
        assert translated - wanted == set(), f"unused in {lang}"


def test_translations_keep_their_placeholders() -> None:
    for message in catalog(TEMPLATES / "locale/ru/LC_MESSAGES/kodgate.po"):
        if message.id:
            [first, *_] = _texts(message.id)
            for text in _texts(message.string):
                assert sorted(re.findall(r"%\(\w+\)\w", text)) == sorted(re.findall(r"%\(\w+\)\w", first))


def test_the_catalogue_is_compiled() -> None:
    assert translate("ru", "Log in") == "Войти"
    assert catalogue("ru").ngettext("Code, %(num)d digit", "Code, %(num)d digits", 6) == "Код, %(num)d цифр"


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", BOT_TEXTS)
def test_the_bot_says_everything_in_every_language(name: str, lang: str) -> None:
    text = render_bot_text(name, lang, **BOT_VALUES)
    assert text
    assert "{" not in text
    if lang != "en":
        assert text != render_bot_text(name, "en", **BOT_VALUES)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("channel", list(Channel))
def test_every_message_holds_the_code_and_whose_it_is(channel: Channel, lang: str) -> None:
    text = render_message(channel, lang, code="123456", project="Kodgate", minutes=3, host="login.example.com")
    assert "123456" in text
    assert "Kodgate" in text


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
