"""Runs it: `python -m tests.faults --help`. Ends with 1 where an invariant did not hold, and says which."""

import asyncio
import random
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from tests.faults import ground
from tests.faults.acts import Act, Stage, acts, left_out
from tests.faults.after import asker, unsettled, untruths
from tests.faults.clock import JumpingClock
from tests.faults.logins import PATIENCE, Login, log_in
from tests.faults.provider import Sender
from tests.faults.table import Played, broken, print_table
from tests.servers import ROOT, Servers

SETTLED_WITHIN = 60.0  # seconds after the last login until no message is on its way
FIRST = 3_000_000
LOG_SHOWN = 6000  # characters of each log, where something broke
SETTINGS = {"WEB_WORKERS": "2", "LEASE_SECONDS": "4", "PROVIDER_TIMEOUT_SECONDS": "2", "AUDIT_DETAILED": "0"}


@click.command()
@click.option("--store", type=click.Choice(["sqlite", "postgres"]), default="sqlite", show_default=True)
@click.option("--logins", default=20_000, show_default=True)
@click.option("--rounds", default=0, help="enough where every fault was played so often")
@click.option("--rate", default=45.0, show_default=True, help="logins a second")
@click.option("--every", default=4.0, show_default=True, help="seconds from a fault's end to the next one")
@click.option(
    "--seconds", default=2.0, show_default=True, help="that a fault lasts, where it is not over by itself"
)
@click.option("--only", default="", help="faults whose name holds this")
@click.option("--but", default="", help="not those whose name holds one of these, comma-separated")
@click.option("--lose", default=0, help="of the provider's, so many are lost unnoticed: shows that this is found")
@click.option("--patience", default=PATIENCE, show_default=True, help="seconds until a person is gone")
@click.option("--seed", default=2026, show_default=True)
def main(
    store: str,
    logins: int,
    rounds: int,
    rate: float,
    every: float,
    seconds: float,
    only: str,
    but: str,
    lose: int,
    patience: float,
    seed: int,
) -> None:
    """Honest logins at a steady rate while everything that can go wrong does."""
    ground.enter(as_oneself=store == "postgres")
    with tempfile.TemporaryDirectory(prefix="kodgate-faults-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        postgres, url, disk = None, "", None
        if store == "postgres":
            postgres = stack.enter_context(import_module("tests.postgres").PostgresServer())
            url = postgres.new_database()
        elif ground.has_disk():
            disk = folder / "disk"
            disk.mkdir()
            ground.mount_disk(disk)
            stack.callback(ground.unmount_disk, disk)
        url = url or f"sqlite:///{disk or folder}/kodgate.sqlite3"
        plan = Plan(
            logins, rounds, rate, every, seconds, only, tuple(filter(None, but.split(","))), lose, patience
        )
        code = asyncio.run(Run(url, plan, random.Random(seed)).on(folder, disk, postgres))
    sys.exit(code)


@dataclass(frozen=True)
class Plan:
    """What was asked for; see `main`."""

    logins: int
    rounds: int
    rate: float
    every: float
    seconds: float
    only: str
    but: tuple[str, ...]
    lose: int
    patience: float

    def has(self, act: Act) -> bool:
        return self.only in act.name and not any(part in act.name for part in self.but)


class Run:
    """One run, from the first login to the verdict."""

    def __init__(self, url: str, plan: Plan, chance: random.Random) -> None:
        self._url = url
        self._plan = plan
        self._logins = [Login(FIRST + number) for number in range(plan.logins)]
        self._chance = chance
        self._sender = Sender(plan.lose)
        self._played: list[Played] = []
        self._stuck = ""

    async def on(self, folder: Path, disk: Path | None, postgres: Any) -> int:
        """The exit code."""
        server = await self._sender.listen()
        port = server.sockets[0].getsockname()[1]
        clock = JumpingClock(folder, str(ROOT))
        settings = {
            **SETTINGS,
            **clock.environment,
            "DATABASE_URL": self._url,
            "SMS_URL": f"webhook+http://127.0.0.1:{port}/",
        }
        servers = Servers(folder, **settings)
        await asyncio.to_thread(servers.__enter__)
        try:
            stage = Stage(servers, self._sender, port, clock, disk, postgres, self._chance, self._plan.seconds)
            await self._play(stage)
            await self._settle()
        finally:
            try:
                await asyncio.to_thread(servers.__exit__)
            except AssertionError as problem:
                self._stuck = self._stuck or str(problem)
            server.close()
        return self._verdict(stage)

    async def _play(self, stage: Stage) -> None:
        over = asyncio.Event()
        faults = asyncio.create_task(self._break(stage, over))
        async with asyncio.TaskGroup() as group:
            began, begun = time.monotonic(), 0
            for number, login in enumerate(self._logins):
                await asyncio.sleep(max(0.0, began + number / self._plan.rate - time.monotonic()))
                if faults.done() and self._plan.rounds:
                    break
                group.create_task(log_in(login, stage.web_port, self._sender, self._plan.patience))
                begun = number + 1
            over.set()
            await faults
        del self._logins[begun:]
        self._seconds = time.monotonic() - began

    async def _break(self, stage: Stage, over: asyncio.Event) -> None:
        every = [act for act in acts(stage) if self._plan.has(act)]
        coming: list[Act] = []
        rounds = self._plan.rounds * len(every)
        while every and len(self._played) != (rounds or -1) and not over.is_set():
            coming = coming or self._chance.sample(every, len(every))
            act, began = coming.pop(), time.monotonic()
            try:
                await asyncio.to_thread(act.does, stage)
            except (AssertionError, OSError) as problem:
                self._stuck = f"{act.name}: {problem!r}"
                return
            finally:
                self._played.append(Played(act, began, time.monotonic()))
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._plan.every)

    async def _settle(self) -> None:
        ask, end = asker(self._url), time.monotonic() + SETTLED_WITHIN
        while unsettled(ask) and time.monotonic() < end:
            await asyncio.sleep(0.2)

    def _verdict(self, stage: Stage) -> int:
        print(f"{len(self._logins)} logins, {len(self._played)} faults in {self._seconds:.0f} s")
        for missing in left_out(stage):
            print(f"LEFT OUT {missing}")
        print_table(self._logins, self._played, self._sender)
        if self._stuck:
            print(f"STUCK {self._stuck}")
        wrong = [*broken(self._logins, self._played, self._sender)]
        wrong += untruths(self._url, self._logins, self._sender, self._played)
        for line in wrong[:50]:
            print(f"BROKEN {line}")
        if wrong or self._stuck:
            for name in stage.servers.names:
                print(f"the end of {name}'s log:\n{stage.servers.log(name)[-LOG_SHOWN:]}")
        asked = sum(login.asked_again for login in self._logins)
        print(
            f"requests made again {asked}, sends refused by the provider {self._sender.refused},"
            f" {len(wrong)} invariants broken"
        )
        return 1 if wrong or self._stuck else 0


if __name__ == "__main__":
    main()
