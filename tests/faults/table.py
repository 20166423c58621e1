"""The table: of each fault, what became of the logins that lived through it; and the invariants of all."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.faults.acts import Act
from tests.faults.logins import Anew, Login
from tests.faults.provider import Sender

CALM = "(no fault)"
AFTER = 1.0  # seconds after a fault in which logins still count as its
READ_WITHIN = 0.5  # seconds until what a process wrote before its end is read and answered, on a busy machine
NOTED_WITHIN = 1.0  # seconds from a provider's yes to our note of it, likewise
SENT_AGAIN_WITHIN = 3.0  # seconds after a cut until the kernel sends again what was lost in it
FORGETS = 1.0  # seconds of commits that PostgreSQL may not yet have put on the disk (docs/postgresql.md)
COOLDOWN = 60.0  # seconds in which a session's code is not sent again


@dataclass(frozen=True)
class Played:
    """An act, and when it was on (monotonic)."""

    act: Act
    began: float
    ended: float

    def touches(self, login: Login) -> bool:
        """For the table: of which fault this login tells."""
        return login.began < self.ended + AFTER and login.ended > self.began

    def voids(self, since: float, until: float) -> bool:
        """Whether it ended, by right, what was begun at `since` and refused at `until`."""
        if self.act.forgets:
            return since <= self.ended and until >= self.began
        return self.act.expires and (since <= self.began <= until or since <= self.ended <= until)

    def doubles(self, at: float) -> bool:
        """Whether a provider's yes of that moment may have come to nobody, or to nothing."""
        if self.act.doubles == "end":
            return self.began - NOTED_WITHIN <= at <= self.began + READ_WITHIN
        return self.act.doubles == "cut" and self.began - READ_WITHIN <= at <= self.ended + SENT_AGAIN_WITHIN

    def forgot(self, at: float) -> bool:
        """Whether a commit of that moment may be lost."""
        return self.act.forgets and self.began - FORGETS <= at <= self.began + READ_WITHIN

    def broke(self, sent: float, missed: float) -> bool:
        """Whether a request may have gone without its answer."""
        return self.act.breaks and sent <= self.ended and missed >= self.began

    def hid(self, anew: Anew) -> bool:
        """Whether what was asked for, and answered 503, may have been done."""
        return self.act.hides and any(sent <= self.ended and at >= self.began for sent, at in anew.unsure)


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
    for why, count in Counter(str(one) for login in logins for one in login.anew).most_common():
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
        for lost in login.lost:
            if not any(one.broke(lost.sent, lost.missed) for one in played):
                yield f"login {login.number}: {lost}, {_at(lost.sent, played)}"
        for number, anew in enumerate(login.anew):
            if not _is_explained(anew, login.anew[:number], played):
                what = "a message was lost" if anew.verb == "wait" else f"refused without a reason: {anew}"
                yield f"login {login.number}: {what}, {_at(anew.until, played)}"
    for message, takings in sender.taken.items():
        for at in takings[:-1]:
            if not any(one.doubles(at) for one in played):
                yield f"message {message} was sent twice, {_at(at, played)}"


def _is_explained(anew: Anew, before: Sequence[Anew], played: Sequence[Played]) -> bool:
    """A session is over only where a fault voids it, or by the code whose answer was lost, or unsure: `broken`
    asks by what, and `untruths` whether it was accepted.

    Who waits in vain asks for another code, and may have to wait for that.
    """
    if anew.verb == "create":
        return any(one.verb == "wait" and anew.until - one.since < COOLDOWN for one in before)
    return anew.lost or any(one.voids(anew.since, anew.until) or one.hid(anew) for one in played)


def _at(at: float, played: Sequence[Played]) -> str:
    """A moment, by the faults around it."""
    begun = [one for one in played if one.began <= at]
    if not begun:
        return "before all faults"
    last = begun[-1]
    return f"{at - last.began:.1f} s into, or after, {last.act.name} ({last.ended - last.began:.1f} s)"


def _whose(login: Login, played: Sequence[Played]) -> str:
    return next((one.act.name for one in played if one.touches(login)), CALM)


def _nearest(at: float, played: Sequence[Played]) -> str:
    return next((one.act.name for one in played if one.doubles(at)), CALM)
