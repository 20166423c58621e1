"""`Rate`: a limit as settings write it."""

import re
from dataclasses import dataclass

_FORM = re.compile(r"([1-9]\d{0,9})/([1-9]\d{0,6})", re.ASCII)


@dataclass(frozen=True)
class Rate:
    """`8/7200`: 8 at once, and then as many again spread evenly over 7200 seconds; never more than twice 8 in any.

    That is GCRA (ITU-T I.371): what is kept of a subject is one time, from which the wait follows exactly.
    """

    count: int
    seconds: int

    @property
    def cost(self) -> int:
        """How many milliseconds one use takes to be forgotten."""
        return self.seconds * 1000 // self.count

    @property
    def window(self) -> int:
        """How many milliseconds of uses may be waiting to be forgotten."""
        return self.seconds * 1000

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds}"


def read_rate(value: object) -> Rate:
    """The rate that a text such as `8/7200` means. Raises `ValueError`."""
    if isinstance(value, Rate):
        return value
    found = _FORM.fullmatch(str(value).strip())
    if not found:
        raise ValueError("must be a number of times and of seconds, such as 8/7200")
    rate = Rate(int(found[1]), int(found[2]))
    if not rate.cost:
        raise ValueError("must be at most a thousand times a second, such as 3600000/3600")
    return rate
