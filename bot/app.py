"""The bot process: wires updates, delivery and live streams into one asyncio loop and ends them in order."""

import asyncio
import logging
import sys

from aiohttp import web

from bot.bots import Bots
from bot.endings import Endings
from bot.live import Live
from bot.reports import PATH, Reports
from bot.serving import listen, told_to_stop
from bot.streams import health
from gateway.bill.watch import BillWatch
from gateway.callbacks import Callbacks
from gateway.delivery import Courier
from gateway.local import LocalGateway
from gateway.opening import open_lines
from gateway.providers.telegram import TelegramProvider
from gateway.settings import Settings, SettingsError
from gateway.store import Busy, StoreError

log = logging.getLogger(__name__)

PURGE_EVERY = 60.0
PURGE_BATCH = 500  # rows: 1.2 ms of the write lock (MEASURED)
WATCH_AT_LEAST = 1.0  # seconds: a look around even if nothing was committed


class BotProcess:
    """Everything that runs in the bot process."""

    def __init__(self, config: Settings, gateway: LocalGateway) -> None:
        self._config = config
        self._gateway = gateway
        self._live = Live(gateway, config)
        self._bots = Bots(gateway, config)
        timeout = config.provider_timeout_seconds
        bots = TelegramProvider(self._bots.of_project, timeout, gateway.deactivate)
        self._lines = open_lines(config, bots)
        self._courier = Courier(gateway, self._lines, config)
        self._reports = Reports(gateway, self._lines)
        self._callbacks = Callbacks(gateway, config)
        self._endings = Endings(gateway, self._lines, config)
        self._bill = BillWatch(gateway.store, gateway.projects, gateway.bill, config, gateway.clock)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then end within SHUTDOWN_SECONDS."""
        stop = told_to_stop()
        routes = {"/healthz": self._health, "/live/{token}": self._live.stream, PATH: self._reports.greet}
        runner = await listen(self._config, routes, {PATH: self._reports.take})
        work = {
            "bots": self._bots.run(),
            "delivery": self._courier.run(),
            "callbacks": self._callbacks.run(),
            "endings": self._endings.run(),
            "watch": self._watch(),
            "purge": self._purge(),
            "bill": self._guard_bill(),
        }
        tasks = [asyncio.create_task(task, name=name) for name, task in work.items()]
        log.info("ready on http://%s:%s", self._config.host, self._config.live_port)
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            log.error("%s ended: %r", task.get_name(), task.exception())
        await self._end(runner, tasks)
        if done - {stopped}:
            raise SystemExit(1)

    async def _end(self, runner: web.AppRunner, tasks: list[asyncio.Task[None]]) -> None:
        self._live.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=self._config.shutdown_seconds)
        for line in self._lines.values():
            for provider in line.providers:
                await provider.close()
        await self._bots.close()
        self._gateway.audit.close()
        await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        checks = {"store": self._gateway.ping(), "telegram": None}
        if not self._bots.servers_polls():
            checks["telegram"] = "the Bot API does not answer"
        return health(checks)

    async def _watch(self) -> None:
        """Wake delivery and live streams whenever any process commits."""
        watch = self._gateway.store.watch()
        try:
            while True:
                await watch.changed(WATCH_AT_LEAST)
                self._courier.wake()
                self._callbacks.wake()
                self._endings.wake()
                self._live.look()
        finally:
            watch.close()

    async def _purge(self) -> None:
        while True:
            before = self._gateway.clock() - self._config.keep_hours * 3600 * 1000
            try:
                while self._gateway.store.purge(before, PURGE_BATCH):
                    await asyncio.sleep(0.05)
                while self._purge_audit():
                    await asyncio.sleep(0.05)
            except Busy as problem:
                log.warning("the store is busy, the purge waits: %s", problem)
            await asyncio.sleep(PURGE_EVERY)

    async def _guard_bill(self) -> None:
        """Beside the loop, which the look would keep for tens of milliseconds."""
        while True:
            try:
                await asyncio.to_thread(self._look_at_bill)
            except (Busy, StoreError) as problem:
                log.warning("the store is busy, the bill guard waits: %s", problem)
            await asyncio.sleep(self._config.guard_look_seconds)

    def _look_at_bill(self) -> None:
        try:
            self._bill.look()
        finally:
            self._gateway.store.close()  # this thread's own connection

    def _purge_audit(self) -> int:
        before = self._gateway.clock() - self._config.audit_days * 24 * 3600 * 1000
        return self._gateway.store.purge_audit(before, self._config.audit_rows, PURGE_BATCH)


async def run(config: Settings, gateway: LocalGateway) -> None:
    """Do all that the bot process does on our own store."""
    try:
        process = BotProcess(config, gateway)
    except SettingsError as problem:
        sys.stderr.write(f"kodgate bot: {problem}\n")
        raise SystemExit(2) from None
    await process.run()
