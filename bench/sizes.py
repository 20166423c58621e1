"""How much of everything is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """`logins`: of a run; `rounds`: runs of a kind, of which the median counts."""

    logins: int = 8000
    rounds: int = 3
    half_seconds: float = 10
    steady_rate: float = 500
    steady_seconds: float = 60
    parts: int = 8000
    widgets: int = 2000  # open at once on one bot process (issue 5)
    widget_logins: int = 1000
    sessions: int = 20_000  # alive at once, for what one weighs
    growth: tuple[int, ...] = (1000, 100_000, 1_000_000)
    growth_logins: int = 4000


QUICK = Size(
    logins=200,
    rounds=1,
    half_seconds=0.5,
    steady_rate=40,
    steady_seconds=2,
    parts=300,
    widgets=60,
    widget_logins=10,
    sessions=200,
    growth=(1000,),
    growth_logins=100,
)
