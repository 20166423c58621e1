"""Values out of a fuzzer's bytes, so that the same function serves atheris and hypothesis."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """Reads from the front; after the end everything is zero and empty."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def byte(self) -> int:
        taken, self._data = self._data[:1], self._data[1:]
        return taken[0] if taken else 0

    def number(self) -> int:
        """Eight bytes, signed."""
        taken, self._data = self._data[:8], self._data[8:]
        return int.from_bytes(taken, signed=True)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]

    def some(self) -> bytes:
        """Up to 255 of them."""
        length = self.byte()
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def text(self) -> str:
        return as_text(self.some())

    def rest(self) -> bytes:
        taken, self._data = self._data, b""
        return taken

    def rest_text(self) -> str:
        return as_text(self.rest())

    def changed(self, text: str) -> str:
        """The text with one change; it may come out as it was."""
        place = (self.byte() << 8 | self.byte()) % (len(text) + 1)
        more = self.text()
        before, after = text[:place], text[place:]
        return self.one_of(
            [
                before + more + after,
                before + more + after[len(more) :],
                before + after[1:],
                before,
                after,
                before + after.swapcase(),
                text.translate({ord("-"): "+", ord("_"): "/"}),
                more,
            ]
        )


def as_text(data: bytes) -> str:
    """Any text: of what is not UTF-8, lone surrogates are made."""
    return data.decode("utf-8", "surrogateescape")
