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
from gateway.render import render_bot_text, render_message
from tests.servers import ROOT

GSM_7 = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
BOT_TEXTS = sorted(path.stem for path in (TEMPLATES / "bot/en").glob("*.txt"))
BOT_VALUES: dict[str, Any] = {
    "site": "Kodgate",
    "mask": "+7 ••• ••• 36",
    "yours": "+7 ••• ••• 37",
    "browser": "Firefox, Linux",
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


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_sms_is_one_segment_and_ends_as_webotp_wants(lang: str) -> None:
    text = render_message(Channel.SMS, lang, code="123456", project="Shop", minutes=3, host="id.example.com")
    assert text.splitlines()[-1] == "@id.example.com #123456"
    assert len(text) <= (160 if set(text) <= GSM_7 else 70), text


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
