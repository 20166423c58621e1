"""The bot process: wires updates, delivery and live streams into one asyncio loop and ends them in order."""

import asyncio
import logging
import signal

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramUnauthorizedError
from aiogram.types import BotCommand
from aiohttp import web

from bot.handlers import Conversations
from bot.live import Live, health
from bot.updates import Poller
from gateway.bootstrap import introduce_bot, need_port, start_process
from gateway.callbacks import Callbacks
from gateway.channels import Channel
from gateway.delivery import Courier
from gateway.i18n import LANGUAGES, N_, translate
from gateway.local import LocalGateway
from gateway.providers import Provider, make_provider
from gateway.providers.telegram import TelegramProvider
from gateway.settings import Settings
from gateway.store import Busy

log = logging.getLogger(__name__)

INTRODUCTION_RETRY = 2.0  # seconds between two tries to reach the Bot API at start
PURGE_EVERY = 60.0
PURGE_BATCH = 500  # rows: 1.2 ms of the write lock (MEASURED)
WATCH_AT_LEAST = 1.0  # seconds: a look around even if nothing was committed
SILENCE = 30_000  # ms beyond a long poll after which the Bot API counts as away
COMMANDS = {"start": N_("Connect this chat"), "stop": N_("No more codes here"), "help": N_("What this bot does")}


class BotProcess:
    """Everything that runs in the bot process."""

    def __init__(self, config: Settings, gateway: LocalGateway) -> None:
        self._config = config
        self._gateway = gateway
        self._live = Live(gateway, config)
        self._bot = _make_bot(config)
        self._poller: Poller | None = None
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
            "delivery": self._courier.run(),
            "callbacks": self._callbacks.run(),
            "watch": self._watch(),
            "purge": self._purge(),
        }
        if self._bot:
            work["updates"] = self._converse(self._bot)
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
        if self._bot:
            await self._bot.session.close()
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
        if self._bot and not self._polls():
            checks["telegram"] = "the Bot API does not answer"
        return health(checks)

    def _polls(self) -> bool:
        patience = self._config.poll_timeout_seconds * 1000 + SILENCE
        return self._poller is not None and self._gateway.clock() - self._poller.last_answer_at < patience

    async def _converse(self, bot: Bot) -> None:
        await self._introduce(bot)
        dispatcher = Dispatcher()
        dispatcher.include_router(Conversations(self._gateway).router())
        self._poller = Poller(
            bot, dispatcher, self._gateway.store, self._gateway.clock, self._config.poll_timeout_seconds
        )
        self._poller.last_answer_at = self._gateway.clock()
        await self._poller.run()

    async def _introduce(self, bot: Bot) -> None:
        """Learn the bot's name and hang up its commands, however long the Bot API is away."""
        while True:
            try:
                me = await bot.get_me()
                await bot.delete_webhook()
                for lang in (None, *LANGUAGES):
                    commands = [
                        BotCommand(command=name, description=translate(lang or "en", text))
                        for name, text in COMMANDS.items()
                    ]
                    await bot.set_my_commands(commands, language_code=lang)
            except TelegramUnauthorizedError:
                log.error("TELEGRAM_BOT_TOKEN: Telegram does not know this token")  # noqa: TRY400
            except TelegramAPIError as problem:
                log.warning("the Bot API is away, again in %s s: %s", INTRODUCTION_RETRY, problem)
            else:
                introduce_bot(self._gateway.store, me.id, me.username or "")
                self._gateway.projects.forget()
                return
            await asyncio.sleep(INTRODUCTION_RETRY)

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
        providers: dict[Channel, Provider] = {}
        for channel, url in self._config.provider_urls.items():
            if channel is Channel.TELEGRAM:
                assert self._bot is not None  # noqa: S101 - the same setting makes both
                providers[channel] = TelegramProvider(self._bot, timeout, self._blocked)
            else:
                providers[channel] = make_provider(url, timeout, concurrency)
        return providers

    def _blocked(self, chat_id: int) -> None:
        if self._bot:
            self._gateway.deactivate(self._bot.id, chat_id)


def _make_bot(config: Settings) -> Bot | None:
    if not config.telegram_bot_token:
        return None
    server = TelegramAPIServer.from_base(config.telegram_api_url)
    return Bot(config.telegram_bot_token, session=AiohttpSession(api=server, limit=config.provider_concurrency))


def main() -> None:
    """`python -m bot`."""
    config, gateway = start_process("bot")
    need_port("bot", config.host, config.live_port)

    async def serve() -> None:
        await BotProcess(config, gateway).run()

    asyncio.run(serve())
