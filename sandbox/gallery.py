"""Every message that leaves, on one page: each channel's text in each language, as its receiver would see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_MESSAGES = Path(__file__).resolve().parent.parent / "templates" / "messages"
CHANNELS = ("telegram", "whatsapp", "viber", "sms", "email")
SAMPLE = {
    "code": "482173",
    "project": "Shop",
    "minutes": 3,
    "host": "shop.example.com",
    "brief": 0,
    "browser": "Chrome, Windows",
    "place": "Germany (Berlin)",
    "tap": True,
}
ONE_SMS = {True: 160, False: 70}  # characters, of GSM's own letters or not
_GSM_LETTERS = set("@£$¥èéùìòÇØøÅåÆæßÉÄÖÑÜ§¿äöñüà¡")  # what a text may have besides ASCII


@dataclass(frozen=True)
class Sample:
    """One channel's message in one language. `subject` is an email's, `too_long` an SMS's that costs two."""

    channel: str
    lang: str
    text: str
    subject: str = ""
    too_long: bool = False


class Gallery:
    """Reads the templates anew each time, so that a change shows at the next look."""

    def __init__(self) -> None:
        self._texts = _environment(autoescape=False)
        self._pages = _environment(autoescape=True)

    def samples(self) -> list[Sample]:
        return [self._sample(channel, lang) for channel in CHANNELS for lang in languages()]

    def letter(self, lang: str) -> str:
        """An email's HTML part."""
        return self._pages.get_template(f"email/{lang}.html").render(SAMPLE)

    def _sample(self, channel: str, lang: str) -> Sample:
        if channel == "email":
            subject = self._texts.get_template(f"email/{lang}.subject.txt").render(SAMPLE).strip()
            return Sample(channel, lang, self._text(channel, lang), subject)
        if channel != "sms":
            return Sample(channel, lang, self._text(channel, lang))
        texts = [self._text(channel, lang, brief) for brief in range(4)]
        fitting = [text for text in texts if len(text) <= ONE_SMS[_is_gsm(text)]]
        return Sample(channel, lang, (fitting or texts[-1:])[0], too_long=not fitting)

    def _text(self, channel: str, lang: str, brief: int = 0) -> str:
        return self._texts.get_template(f"{channel}/{lang}.txt").render({**SAMPLE, "brief": brief}).strip()


def languages() -> list[str]:
    """The languages that there are messages in, which are more than the sandbox's pages speak."""
    return sorted(file.stem for file in (_MESSAGES / "sms").glob("*.txt"))


def _is_gsm(text: str) -> bool:
    return all(letter.isascii() or letter in _GSM_LETTERS for letter in text)


def _environment(*, autoescape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(_MESSAGES),
        undefined=StrictUndefined,
        autoescape=autoescape,  # noqa: S701 - off for plain text alone
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=True,
    )
