"""Logging: one line an event on standard error, with the process's name; never a code, a key or a whole phone."""

import logging
import re
import sys
import time
from contextlib import AbstractContextManager
from functools import partial
from typing import TextIO

from gateway.later import Later

RETOLD_SECONDS = 10.0
_BUSY = "the store is busy"  # how those lines begin
_LONGEST = 2000  # characters of a message: a path may have 60,000, and its end tells nobody anything
_EMAIL = re.compile(r"(?<![\w.+-])([\w.+-])[\w.+-]*+(@[\w-])")  # each stretch of letters is walked once
_BOT_TOKEN = re.compile(
    r"(/bot\d{1,16}:|\b\d{5,16}:(?=[A-Za-z0-9_-]{30}))[A-Za-z0-9_-]+"
)  # as in a client's errors
_PHONE = re.compile(r"(\+?\d{2})\d{5,}(\d{2})")


class _Masked(logging.Formatter):
    """The last guard: what looks like a phone, an email, a bot's token is masked, what can't be printed spelt out.

    A message is one line; only a traceback has more, and those are indented: no value can begin an entry.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _shortened(_masked(_printable(record.message)))
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return "\n  ".join(_masked(_printable(line)) for line in lines)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _printable(text: str) -> str:
    """Newlines, control characters, escapes and changes of writing direction as `\\n`, `\\x1b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _masked(text: str) -> str:
    return _PHONE.sub(r"\1•••\2", _EMAIL.sub(r"\1•••\2", _BOT_TOKEN.sub(r"\1•••", text)))


def make_formatter(process: str) -> logging.Formatter:
    """How a process writes its lines."""
    return _Masked(f"%(asctime)s {process} %(levelname)s %(name)s: %(message)s")


_later = Later()


class _Seldom(logging.Filter):
    """While the store is away, each loop says so at each of its turns, twice a second: told every ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._again_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(_BUSY):
            return True
        what, now = (record.name, str(record.msg)), time.monotonic()
        if now < self._again_at.get(what, 0.0):
            return False
        self._again_at[what] = now + RETOLD_SECONDS
        return True


class _Lines(logging.StreamHandler[TextIO]):
    """Standard error, which may be a pipe that nobody empties just now."""

    def emit(self, record: logging.LogRecord) -> None:
        _later.do(partial(super().emit, record))


def holding_lines() -> AbstractContextManager[None]:
    """Write what this thread logs within when the block has ended: it holds what others wait for."""
    return _later.holding(even_if_it_fails=True)


def set_up_logging(process: str, level: str) -> None:
    """Log to standard error."""
    handler = _Lines(sys.stderr)
    handler.setFormatter(make_formatter(process))
    handler.addFilter(_Seldom())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("aiogram", "aiohttp.access", "httpx", "_granian"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
