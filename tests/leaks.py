"""What must stand in no log: looked for in all that the processes of a test run wrote, and its own loggers.

Most of it is told by its form. A code is six digits like any others: those are the codes that came out of the
sandbox's inbox, and those that tests asked for.
"""

import logging
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from gateway.log import make_formatter
from gateway.settings import DEVELOPMENT_SECRET

METRICS_TOKEN = "metrics-of-the-tests"
FORMS = {
    "a phone": re.compile(r"(?<![\w.])\+?\d{9,15}(?![\w.])"),
    "an email": re.compile(r"[\w.+-]{2,}@[\w-]+\.\w"),
    "an API key": re.compile(r"\b[ps]k_[A-Za-z0-9_-]{8,}"),
    "a bot's token": re.compile(r"(?:\b|(?<=bot))\d{1,16}:(?:sandbox\b|[A-Za-z0-9_-]{30,})"),
    "a signed token": re.compile(r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
    "a deep link": re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])"),
    "an encrypted code": re.compile(r"aes256:[0-9a-f]{32}:|aes_256_cbc_[0-9a-f]{32}"),
    "a password in a URL": re.compile(r"://[^/\s:@]*:[^/\s@]+@"),
    "the secret of development": re.compile(re.escape(DEVELOPMENT_SECRET)),
    "what opens the metrics": re.compile(re.escape(METRICS_TOKEN)),
}
_SIX_DIGITS = re.compile(r"(?<![\w:.,+-])\d{6}(?![\w:.-])")


def leaks(text: str, codes: Collection[str] = ()) -> Iterator[str]:
    """What kinds of secrets a log holds, each with its line."""
    for line in text.splitlines():
        for kind, form in FORMS.items():
            if form.search(line):
                yield f"{kind}: {line[:300]}"
        for code in _SIX_DIGITS.findall(line):
            if code in codes:
                yield f"a code: {line[:300]}"


def leaks_below(folder: Path) -> list[str]:
    """Those of the logs of all processes that ran there."""
    return [
        f"{path.parent.name}/{path.name}: {leak}"
        for path in sorted(folder.rglob("*.log"))
        if path.name in ("web.log", "bot.log")
        for leak in leaks(path.read_text("utf-8", "replace"))
    ]


class Listener(logging.Handler):
    """Keeps what the tests' own process logs and should not, as it would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(make_formatter("tests"))
        self.found: list[str] = []
        self.heard = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.heard += 1
        self.found += leaks(self.format(record))
