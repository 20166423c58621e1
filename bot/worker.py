"""`python -m bot.worker`: delivery without updates and live streams, to be run as often as there is to deliver.

Its loops are the bot process's own: each is safe beside any number of others.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

import gateway.lean_aiogram  # noqa: F401 - before anything of aiogram

# isort: split

from bot.bots import Bots
from bot.endings import Endings
from bot.metrics import metrics_for, show_waiting
from bot.serving import Handler, Listener, listen, run_and_leave, told_to_stop
from bot.streams import health
from gateway.bill.watch import BillWatch
from gateway.bootstrap import need_port, start_process
from gateway.callbacks import Callbacks
from gateway.clock import AHEAD, LivedTime, SetBack
from gateway.delivery import Courier
from gateway.events import Events
from gateway.leases import Lease
from gateway.local import LocalGateway
from gateway.metrics import PATH
from gateway.misspelt import warn_of_misspelt
from gateway.opening import open_lines
from gateway.projects import LONGEST_SESSION
from gateway.providers.telegram import TelegramProvider
from gateway.settings import Settings, SettingsError
from gateway.store import Busy, StoreError
from gateway.store.ceilings import DAY

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = 1.0  # seconds: at 1,400 logins each, some 10,000 pages, which are moved in a twentieth of that
PURGE_EVERY = 60.0
PURGE_BATCH = 500  # rows: 1.2 ms of the write lock (MEASURED)
STEADY_SECONDS = 3600.0  # for which a clock has kept time before what is dated ahead of it counts as wrong
LONGEST_WAIT_MS = 600_000  # longer than any retry, lease or Retry-After that is heeded
WATCH_AT_LEAST = 1.0  # seconds: a look around even if nothing was committed


class Worker:
    """What every process does that delivers: messages, callbacks, endings, the bill guard and the purge."""

    name = "worker"
    takes_updates = False

    def __init__(self, config: Settings, gateway: LocalGateway) -> None:
        self.config = config
        self.gateway = gateway
        self.bots = Bots(gateway, config, takes_updates=self.takes_updates)
        timeout = config.provider_timeout_seconds
        telegram = TelegramProvider(self.bots.of_project, timeout, self._blocked)
        self.lines = open_lines(config, telegram)
        self._courier = Courier(gateway, self.lines, config)
        self._callbacks = Callbacks(gateway, config)
        self._endings = Endings(gateway, self.lines, config)
        self.events = Events(gateway.store, gateway.clock)
        self._bill = BillWatch(gateway.store, gateway.projects, gateway.bill, config, gateway.clock)
        self._guarding = Lease(gateway.store, gateway.clock, "bill", config.guard_look_seconds)
        self._committed = False  # since the last checkpoint
        self._set_back = SetBack(gateway.clock)
        self._to_be_put_right = True  # the store; at the start by what nobody saw
        self._keep = config.keep_hours * 3600 * 1000
        self._keep_audit = config.audit_days * DAY
        # What keeps somebody from something: for a day's calm, and until the longest session's token has ended.
        self._settle = max(DAY, (LONGEST_SESSION + config.verify_token_seconds) * 1000 + AHEAD)
        self._lived = LivedTime(gateway.clock, max(self._keep, self._settle))
        self._lived_audit = LivedTime(gateway.clock, self._keep_audit)
        self._lags = False  # the purge, behind a clock that went forward: said once
        self._purging = Lease(gateway.store, gateway.clock, "purge", PURGE_EVERY)
        show_waiting(gateway)

    @property
    def port(self) -> int:
        return self.config.worker_port

    def gets(self) -> Mapping[str, Handler]:
        """What is served to GET."""
        if not self.config.metrics_token:
            return {"/healthz": self._health}
        return {"/healthz": self._health, PATH: metrics_for(self.config.metrics_token, self.gateway.metrics)}

    def posts(self) -> Mapping[str, Handler]:
        """What is served to POST."""
        return {}

    def wake(self, sessions: Iterable[str]) -> None:
        """Something was committed for these sessions."""
        self._endings.wake(sessions)

    def end_streams(self) -> None:
        """Let go of whoever listens."""

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then end within SHUTDOWN_SECONDS."""
        stop = told_to_stop()
        listener = await listen(self.config, self.port, self.gets(), self.posts())
        work: dict[str, Coroutine[Any, Any, None]] = {
            "bots": self.bots.run(),
            "delivery": self._courier.run(),
            "callbacks": self._callbacks.run(),
            "endings": self._endings.run(),
            "watch": self._watch(),
            "purge": self._purge(),
            "bill": self._guard_bill(),
            "checkpoints": self._checkpoints(),
        }
        tasks = [asyncio.create_task(task, name=name) for name, task in work.items()]
        gc.collect()
        gc.freeze()  # aiogram's models stay: no collection, nor the process's end, need look at them again
        gc.enable()
        log.info("ready on http://%s:%s", self.config.host, self.port)
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            log.error("%s ended: %r", task.get_name(), task.exception())
        await self._end(listener, tasks)
        if done - {stopped}:
            raise SystemExit(1)

    async def _end(self, listener: Listener, tasks: list[asyncio.Task[None]]) -> None:
        """Nobody new is served; whoever is, and what is under way, gets its time."""
        await listener.stop()
        self.end_streams()
        for task in tasks:
            task.cancel()
        await asyncio.gather(listener.close(), asyncio.wait(tasks, timeout=self.config.shutdown_seconds))
        for line in self.lines.values():
            for provider in line.providers:
                await provider.close()
        await self.bots.close()
        self.gateway.close()

    async def _blocked(self, bot_id: int, chat_id: int) -> None:
        await self.gateway.aside(partial(self.gateway.deactivate, bot_id, chat_id))

    async def _health(self, _: web.Request) -> web.Response:
        return health(await self.gateway.aside(self.checks), self.name)

    def checks(self) -> dict[str, Any]:
        """What has to be well for this process to serve."""
        return {"store": self.gateway.ping()}

    async def _watch(self) -> None:
        """Wake delivery and live streams whenever any process commits."""
        watch = self.gateway.store.watch()
        try:
            while True:
                self._committed |= await watch.changed(WATCH_AT_LEAST)
                if back := self._set_back.by():
                    log.warning("the clock was put back by %s s: what waits goes on", back // 1000)
                    self._to_be_put_right = True
                if self._to_be_put_right:
                    await self.gateway.aside(self._put_right)
                self._courier.wake()
                self._callbacks.wake()
                try:
                    self.wake(await self.gateway.aside(self.events.new))
                except Busy as problem:
                    log.warning("the store is busy, live streams wait: %s", problem)
        finally:
            watch.close()

    def _put_right(self) -> None:
        """Until it is done: the store may be away in the very moment in which the clock is put back."""
        try:
            self.gateway.store.put_right(self.gateway.clock(), LONGEST_WAIT_MS)
        except Busy as problem:
            log.warning("the store is busy, what waits for a later clock goes on waiting: %s", problem)
        else:
            self._to_be_put_right = False

    async def _purge(self) -> None:
        """Forget what is old, in one process at a time."""
        try:
            while True:
                if await self._purging.held():
                    await self._purge_once()
                await asyncio.sleep(PURGE_EVERY)
        finally:
            self._purging.let_go()

    async def _purge_once(self) -> None:
        lived = self._lived()
        self._tell_lag()
        before = lived - self._keep
        settled = lived - self._settle
        try:
            while await self.gateway.aside(partial(self.gateway.store.purge, before, PURGE_BATCH, settled)):
                await asyncio.sleep(0.05)
            while await self.gateway.aside(self._purge_ahead):
                await asyncio.sleep(0.05)
            while await self.gateway.aside(self._purge_audit):
                await asyncio.sleep(0.05)
        except Busy as problem:
            log.warning("the store is busy, the purge waits: %s", problem)

    def _tell_lag(self) -> None:
        lags = self._lived.behind > AHEAD
        if lags and not self._lags:
            log.warning(
                "the clock went forward by %s s: until it has kept time for as long as things are kept, what is "
                "purged by age stays longer by that",
                self._lived.behind // 1000,
            )
        self._lags = lags

    async def _checkpoints(self) -> None:
        """Beside the loop, and out of the way of web, whose visitors would wait for it."""
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY)
            if self._committed:
                self._committed = False
                try:
                    await asyncio.to_thread(self.gateway.store.checkpoint)
                except (Busy, StoreError) as problem:
                    log.warning("the store is busy, its log grows: %s", problem)

    async def _guard_bill(self) -> None:
        """In one process at a time, beside the loop, which the look would keep for tens of milliseconds."""
        try:
            while True:
                try:
                    if await self._guarding.held():
                        await asyncio.to_thread(self._bill.look)
                except (Busy, StoreError) as problem:
                    log.warning("the store is busy, the bill guard waits: %s", problem)
                await asyncio.sleep(self.config.guard_look_seconds)
        finally:
            self._guarding.let_go()

    def _purge_ahead(self) -> int:
        """What a clock that was ahead has dated, by more than it is kept: no clock that differs from ours, nor one
        that is wrong for a moment, costs anybody a login.
        """
        if self._lived.steady_for < STEADY_SECONDS:
            return 0
        return self.gateway.store.purge_ahead(self.gateway.clock() + max(self._keep, DAY), PURGE_BATCH)

    def _purge_audit(self) -> int:
        before = self._lived_audit() - self._keep_audit
        ahead = self.gateway.clock() + AHEAD
        return self.gateway.store.purge_audit(before, self.config.audit_rows, PURGE_BATCH, ahead)


async def run(kind: type[Worker], config: Settings, gateway: LocalGateway) -> None:
    """Do all that such a process does on our own store."""
    try:
        process = kind(config, gateway)
    except SettingsError as problem:
        sys.stderr.write(f"kodgate {kind.name}: {problem}\n")
        raise SystemExit(2) from None
    await process.run()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config, gateway = start_process("worker")
    if not isinstance(gateway, LocalGateway):
        sys.stderr.write("kodgate worker: KODMOBI_URL is set: the upstream delivers, a worker has nothing to do\n")
        raise SystemExit(2)
    warn_of_misspelt()
    need_port("worker", config.host, config.worker_port)
    run_and_leave(run(Worker, config, gateway))


if __name__ == "__main__":
    main()
