"""What came of an attack, and the table of all of them."""

from collections.abc import Iterable
from dataclasses import dataclass

_HEADS = ("threat", "what was tried", "times", "got through")


@dataclass(frozen=True)
class Outcome:
    """`threat` is a row of docs/security.md; `through`: how many of the tries got the attacker anything."""

    threat: str
    tried: str
    times: int
    through: int
    note: str = ""


def table(outcomes: Iterable[Outcome]) -> str:
    """As Markdown, so that it can stand in the docs."""
    lines = [f"| {' | '.join(_HEADS)} | |", "| --- | --- | ---: | ---: | --- |"]
    lines += [f"| {one.threat} | {one.tried} | {one.times:,} | {one.through} | {one.note} |" for one in outcomes]
    return "\n".join(lines)
