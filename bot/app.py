"""The bot process: wires updates, delivery and live streams into one asyncio loop and ends them in order."""

import asyncio
import logging
import signal

from aiohttp import web

from bot.bots import Bots
from bot.live import Live, health
from gateway.bootstrap import need_port, start_process
from gateway.callbacks import Callbacks
from gateway.channels import Channel
from gateway.delivery import Courier
from gateway.local import LocalGateway
from gateway.providers import Provider, make_provider
from gateway.providers.telegram import TelegramProvider
from gateway.settings import Settings
from gateway.store import Busy

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
        self._providers = self._make_providers()
        self._courier = Courier(gateway, self._providers, config)
        self._callbacks = Callbacks(gateway, config)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then end within SHUTDOWN_SECONDS."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        runner = await self._serve_http()
        work = {
            "bots": self._bots.run(),
            "delivery": self._courier.run(),
            "callbacks": self._callbacks.run(),
            "watch": self._watch(),
            "purge": self._purge(),
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
        for provider in self._providers.values():
            await provider.close()
        await self._bots.close()
        await runner.cleanup()

    async def _serve_http(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/live/{token}", self._live.stream)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, self._config.host, self._config.live_port, backlog=1024).start()
        return runner

    async def _health(self, _: web.Request) -> web.Response:
        checks: dict[str, str | None] = {"store": None, "telegram": None}
        try:
            self._gateway.store.ping()
        except Busy as problem:
            checks["store"] = str(problem)
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
                self._live.look()
        finally:
            watch.close()

    async def _purge(self) -> None:
        while True:
            before = self._gateway.clock() - self._config.keep_hours * 3600 * 1000
            try:
                while self._gateway.store.purge(before, PURGE_BATCH):
                    await asyncio.sleep(0.05)
            except Busy as problem:
                log.warning("the store is busy, the purge waits: %s", problem)
            await asyncio.sleep(PURGE_EVERY)

    def _make_providers(self) -> dict[Channel, Provider]:
        timeout, concurrency = self._config.provider_timeout_seconds, self._config.provider_concurrency
        telegram = TelegramProvider(self._bots.of_project, timeout, self._gateway.deactivate)
        providers: dict[Channel, Provider] = {Channel.TELEGRAM: telegram}
        for channel, url in self._config.provider_urls.items():
            if channel is not Channel.TELEGRAM:
                providers[channel] = make_provider(url, timeout, concurrency)
        return providers


def main() -> None:
    """`python -m bot`."""
    config, gateway = start_process("bot")
    need_port("bot", config.host, config.live_port)

    async def serve() -> None:
        await BotProcess(config, gateway).run()

    asyncio.run(serve())
