"""The table: of each fault, what became of the logins that lived through it; and the invariants of all."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.faults.acts import Act
from tests.faults.logins import Login
from tests.faults.provider import Sender

CALM = "(no fault)"
AFTER = 1.0  # seconds after a fault that still count as its
NOTED_WITHIN = 2.0  # seconds between a provider's yes and our note of it, on a busy machine
LATE = 3.0  # seconds until the sender has read what a process wrote before its end


@dataclass(frozen=True)
class Played:
    """An act, and when it was on (monotonic)."""

    act: Act
    began: float
    ended: float

    def touches(self, login: Login) -> bool:
        return login.began < self.ended + AFTER and login.ended > self.began


def print_table(logins: Sequence[Login], played: Sequence[Played], sender: Sender) -> None:
    """One row a kind of fault."""
    times = Counter(one.act.name for one in played)
    by_name: dict[str, list[Login]] = defaultdict(list)
    for login in logins:
        by_name[_whose(login, played)].append(login)
    doubled = Counter(_nearest(at, played) for takings in sender.taken.values() for at in takings[:-1])
    print(f"{'fault':<40} times logins at once delayed longest  anew failed doubled")
    for name in [*times, CALM]:
        print(_row(name, times[name], by_name[name], doubled[name]))
    print(_row("all", len(played), list(logins), sum(doubled.values())))
    for why, count in Counter(why for login in logins for why in login.anew).most_common():
        print(f"  begun anew {count} times: {why}")
    for why, count in Counter(login.why for login in logins if not login.done).most_common():
        print(f"  failed {count} times: {why}")


def _row(name: str, times: int, logins: list[Login], doubled: int) -> str:
    done = [login for login in logins if login.done]
    at_once = sum(login.at_once for login in done)
    anew = sum(bool(login.anew) for login in done)
    longest = max((login.took for login in done), default=0.0)
    return (
        f"{name:<40} {times:>5} {len(logins):>6} {at_once:>7} {len(done) - at_once:>7} {longest:>6.1f}s"
        f" {anew:>5} {len(logins) - len(done):>6} {doubled:>7}"
    )


def broken(logins: Sequence[Login], played: Sequence[Played], sender: Sender) -> Iterator[str]:
    """The invariants that did not hold, one line each."""
    for login in logins:
        if login.twice:
            yield f"login {login.number}: its code was accepted {login.twice + 1} times"
        if not login.done:
            yield f"login {login.number} failed: {login.why}"
        for got, refused in login.tokens_refused:
            if not any(one.act.expires and one.began <= refused and got <= one.ended for one in played):
                yield f"login {login.number}: its verify token was refused"
        if "no code came" in login.anew and not any(one.touches(login) for one in played):
            yield f"login {login.number}: a message was lost"
    for number, takings in sender.taken.items():
        for at in takings[:-1]:
            if not any(one.act.doubles and _near(at, one) for one in played):
                yield f"message {number} was sent twice, {_nearest(at, played)} being the nearest fault"


def _whose(login: Login, played: Sequence[Played]) -> str:
    return next((one.act.name for one in played if one.touches(login)), CALM)


def _near(at: float, one: Played) -> bool:
    return one.began - NOTED_WITHIN <= at <= one.ended + LATE


def _nearest(at: float, played: Sequence[Played]) -> str:
    near = [one for one in played if _near(at, one)]
    best = next((one for one in near if one.act.doubles), near[0] if near else None)
    return best.act.name if best else CALM
