"""Logging: one line an event on standard error, with the process's name; never a code, a key or a whole phone."""

import logging
import re
import sys

_PHONE = re.compile(r"(\+?\d{2})\d{5,}(\d{2})")


class _Masked(logging.Formatter):
    """The last guard: whatever looks like a phone is masked, control characters are spelt out."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        lines = text.replace("\r", "\\r").split("\n")
        return "\n  ".join(_PHONE.sub(r"\1•••\2", line) for line in lines)


def set_up_logging(process: str, level: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked(f"%(asctime)s {process} %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("aiogram", "aiohttp.access", "httpx", "_granian"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
