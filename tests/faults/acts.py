"""What goes wrong, one after the other. Each act leaves everything as it found it, and well again."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tests.faults import ground
from tests.faults.clock import JumpingClock
from tests.faults.provider import Mood, Sender
from tests.servers import Servers, until

BACKENDS_GONE_WITHIN = 15.0  # seconds
RESTARTED_AFTER = 0.3  # seconds until whoever looks after the processes has noticed


class Postgres(Protocol):
    """A PostgreSQL server of our own."""

    port: int

    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def stop(self, *, kill: bool = False) -> None: ...


@dataclass
class Stage:
    """All that can be broken."""

    servers: Servers
    sender: Sender
    sender_port: int
    clock: JumpingClock
    disk: Path | None
    postgres: Postgres | None
    chance: random.Random
    seconds: float
    """That a fault lasts, where it is not over by itself."""

    @property
    def web_port(self) -> int:
        return int(self.servers.environment["PORT"])


@dataclass(frozen=True)
class Act:
    """What it may do to logins, all of it told in docs/architecture.md; whatever else happens to them is a defect.

    `doubles`: who has asked a provider does not learn, or write down, that it said yes, and its message goes out
    again: by their own end (or stop), or by a cut of the network. `expires`: the clock jumps, so that what was
    begun before is over, and what is begun meanwhile will be. `forgets`: the store's last commits are lost, and
    what is from before is void. `breaks`: requests are not answered. `hides`: nobody knows what became of those
    that are answered 503.
    """

    name: str
    does: Callable[[Stage], None]
    doubles: Literal["", "end", "cut"] = ""
    expires: bool = False
    forgets: bool = False
    breaks: bool = False
    hides: bool = False


def acts(stage: Stage) -> Iterator[Act]:
    """Those that can be played on this stage."""
    yield Act("web: a worker is killed", _kill_worker, breaks=True)
    yield Act("web: its master is killed", _kill_master, breaks=True)
    yield Act("web: all of it is killed", lambda stage: _kill(stage, "web"), breaks=True)
    yield Act("bot: killed", lambda stage: _kill(stage, "bot"), doubles="end")
    yield Act("web: a worker is stopped", lambda stage: _stop(stage, _a_worker(stage)))
    yield Act("bot: stopped", lambda stage: _stop(stage, stage.servers.pid("bot")), doubles="end")
    yield Act("provider: 503", lambda stage: _moody(stage, "busy"))
    yield Act("provider: slow", lambda stage: _moody(stage, "slow"))
    yield Act("provider: breaks connections off", lambda stage: _moody(stage, "rude"))
    yield Act("Bot API: away", _bot_api_away)
    yield Act("clock: 3 h ahead", lambda stage: _jump(stage, 3 * 3600), expires=True)
    yield Act("clock: 3 h behind", lambda stage: _jump(stage, -3 * 3600), expires=True)
    yield Act("clock: 20 s ahead", lambda stage: _jump(stage, 20))
    if stage.disk:
        yield Act("disk: full", _full)
    if ground.has_network():
        yield Act("network: no provider", lambda stage: _cut(stage, stage.sender_port), doubles="cut")
        yield Act("network: no web", lambda stage: _cut(stage, stage.web_port))
    if stage.postgres:
        yield Act("PostgreSQL: restarted (fast)", lambda stage: _restart(stage, signal.SIGINT))
        yield Act("PostgreSQL: restarted (immediate)", lambda stage: _restart(stage, signal.SIGQUIT), forgets=True)
        yield Act("PostgreSQL: killed", lambda stage: _restart(stage, signal.SIGKILL), forgets=True)
        yield Act("PostgreSQL: stopped", _stop_postgres, hides=True)
        if ground.has_network():
            yield Act("network: no PostgreSQL", lambda stage: _cut(stage, _postgres(stage).port), hides=True)


def left_out(stage: Stage) -> list[str]:
    """What this machine does not permit."""
    missing = []
    if not stage.disk and not stage.postgres:
        missing.append("disk: no mount namespace here")
    if not ground.has_network():
        missing.append("network: no network namespace here, or no nft")
    return missing


def _kill(stage: Stage, name: str) -> None:
    stage.servers.kill(name)
    time.sleep(RESTARTED_AFTER)
    stage.servers.start(name)


def _kill_master(stage: Stage) -> None:
    """Only the master, as the OOM killer may; whoever looks after it starts it anew."""
    stage.servers.kill("web", alone=True)
    time.sleep(RESTARTED_AFTER)
    stage.servers.start("web")
    until(lambda: _all_work(stage), "the new master has its workers")


def _kill_worker(stage: Stage) -> None:
    os.kill(_a_worker(stage), signal.SIGKILL)
    time.sleep(RESTARTED_AFTER)
    stage.servers.wait("web")
    until(lambda: _all_work(stage), "another takes its place")


def _all_work(stage: Stage) -> bool:
    return len(children(stage.servers.pid("web"))) == int(stage.servers.environment["WEB_WORKERS"])


def _a_worker(stage: Stage) -> int:
    return stage.chance.choice(until(lambda: children(stage.servers.pid("web")), "web has a worker"))


def children(parent: int) -> list[int]:
    """Its processes, such as granian's workers."""
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _stop(stage: Stage, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(stage.seconds)
    finally:
        _signal(pid, signal.SIGCONT)


def _moody(stage: Stage, mood: Mood) -> None:
    with _mood(stage.sender, mood):
        time.sleep(stage.seconds)


@contextmanager
def _mood(sender: Sender, mood: Mood) -> Iterator[None]:
    sender.mood = mood
    try:
        yield
    finally:
        sender.mood = "well"


def _bot_api_away(stage: Stage) -> None:
    stage.servers.kill("sandbox")
    time.sleep(stage.seconds)
    stage.servers.start("sandbox")


def _jump(stage: Stage, seconds: float) -> None:
    stage.clock.jump(seconds)
    try:
        time.sleep(stage.seconds)
    finally:
        stage.clock.jump(0)


def _full(stage: Stage) -> None:
    assert stage.disk
    with closing(sqlite3.connect(stage.disk / "kodgate.sqlite3")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log's room would last for thousands of logins
    with ground.full(stage.disk):
        time.sleep(stage.seconds)


def _cut(stage: Stage, port: int) -> None:
    with ground.cut(port):
        time.sleep(stage.seconds)


def _postgres(stage: Stage) -> Postgres:
    assert stage.postgres
    return stage.postgres


def _restart(stage: Stage, number: signal.Signals) -> None:
    server = _postgres(stage)
    if number is signal.SIGQUIT:  # an immediate shutdown, which `stop` does not know
        os.kill(server.pid, number)
        until(lambda: _is_over(server.pid), "PostgreSQL ends")
    server.stop(kill=number is not signal.SIGINT)
    time.sleep(RESTARTED_AFTER)
    start_again(server)


def _stop_postgres(stage: Stage) -> None:
    with stopped(_postgres(stage)):
        time.sleep(stage.seconds)


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """All of it: what is connected answers nothing, nor is anybody new, though nobody is refused a connection."""
    pids = [server.pid, *children(server.pid)]
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def start_again(server: Postgres) -> None:
    """After a kill its orphaned backends keep the shared memory for a moment, and the server ends at its start."""
    end = time.monotonic() + BACKENDS_GONE_WITHIN
    while True:
        try:
            server.start()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(RESTARTED_AFTER)
        else:
            return


def _is_over(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
