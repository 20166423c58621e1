"""A flood of creates: what it costs in memory, what honest visitors notice, and how soon it is over."""

import time
from dataclasses import dataclass

from tests.attack import hose
from tests.attack.honest import Honest
from tests.attack.outcome import Outcome
from tests.attack.site import Target

FLOOD = "a flood"
GROWS = 0.15  # of what web and bot hold when it is in full swing, at most, until its end: caches fill, and no more
HEALTHY_WITHIN = 2.0  # seconds, on a machine of one's own
_EVERY = 0.5


@dataclass
class Seen:
    """Memory in MiB before, in full swing (after a quarter of the time), at most after that, and afterwards."""

    before: float
    swing: float
    most: float
    after: float

    @property
    def flat(self) -> bool:
        return self.most <= self.swing * (1 + GROWS)

    def __str__(self) -> str:
        return f"{self.before:.0f}/{self.swing:.0f}/{self.most:.0f}/{self.after:.0f}"


def flood(
    target: Target,
    rate: float,
    seconds: float,
    connections: int,
    addresses: int,
    logins_a_second: float,
    healthy_within: float = HEALTHY_WITHIN,
) -> tuple[Outcome, Honest]:
    """Creates at `rate`, an open loop, each with another phone; honest visitors solve what they are asked for."""
    site = target.site
    port = int(site.web.rpartition(":")[2])
    before = {name: site.resident_mib(name) for name in ("web", "bot")}
    began = time.monotonic()
    ended = hose.spray(hose.Plan(port, target.public["x-api-key"], seconds, rate, connections, 900_000, addresses))
    samples: list[dict[str, float]] = []
    with Honest(target, logins_a_second) as honest:
        while time.monotonic() - began < seconds:
            time.sleep(_EVERY)
            samples.append({name: site.resident_mib(name) for name in before})
        spray = ended()
        over = time.monotonic()
    healthy = _healthy_after(target, over)
    memory = {}
    for name, one in before.items():
        held = [sample[name] for sample in samples]
        memory[name] = Seen(one, held[len(held) // 4], max(held[len(held) // 4 :]), site.resident_mib(name))
    through = sum(not seen.flat for seen in memory.values()) + len(honest.failures) + (healthy > healthy_within)
    answers = ", ".join(f"{times:,} × {status}" for status, times in sorted(spray.answers.items()))
    note = (
        f"answered {answers}; {len(honest.logins)} of {honest.tried} honest logins, "
        f"{honest.challenged} with a challenge, "
        f"p50 {honest.at(0.5):.0f} ms, p99 {honest.at(0.99):.0f} ms; "
        f"MiB before/swing/most/after: web {memory['web']}, "
        f"bot {memory['bot']}; healthy after {healthy:.1f} s"
    )
    tried = f"{rate:,.0f} creates/s offered, {addresses:,} addresses, {connections} connections, {seconds:.0f} s"
    return Outcome(FLOOD, tried, spray.offered, through, note), honest


def _healthy_after(target: Target, since: float) -> float:
    """Seconds until both processes say that they can serve."""
    while time.monotonic() - since < 60:
        if all(target.site.health(name) == 200 for name in ("web", "bot")):
            break
        time.sleep(0.05)
    return time.monotonic() - since
