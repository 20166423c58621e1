"""Many bots in one process: the server's own (TELEGRAM_BOT_TOKEN), and one for each token that projects brought.

A bot that Telegram refuses, or can't be reached for, is tried again by itself; the others don't notice.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.types import BotCommand

from bot.handlers import Conversations
from bot.taps import Taps
from bot.updates import Poller
from gateway.bootstrap import introduce_bot
from gateway.i18n import LANGUAGES, N_, translate
from gateway.keyring import Unsealable
from gateway.local import LocalGateway
from gateway.projects import Project
from gateway.settings import Settings
from gateway.store import Busy
from gateway.waiting import wait_for

log = logging.getLogger(__name__)

BOTS_EVERY = 5.0  # seconds between two looks at the projects: web sees a change as late (gateway.book.MAX_AGE)
AWAY_RETRY = 2.0  # seconds between two tries to reach the Bot API at start
REFUSED_RETRY = 30.0  # seconds: a refused token seldom gets better, and each try is an error in the log
SILENCE = 30  # seconds beyond a long poll after which the Bot API counts as away
COMMANDS = {"start": N_("Connect this chat"), "stop": N_("No more codes here"), "help": N_("What this bot does")}


class ServedBot:
    """One bot: it introduces itself, then polls and talks, until cancelled."""

    def __init__(
        self, token: str, gateway: LocalGateway, config: Settings, on_introduced: Callable[[], object]
    ) -> None:
        server = TelegramAPIServer.from_base(config.telegram_api_url)
        self.bot = Bot(token, session=AiohttpSession(api=server, limit=config.provider_concurrency))
        self.username = ""  # until Telegram has told it
        self.whose = ""  # for the operator: where the token comes from
        self._patience = config.poll_timeout_seconds + SILENCE
        self._on_introduced = on_introduced
        dispatcher = Dispatcher()
        dispatcher.include_routers(Conversations(gateway).router(), Taps(gateway).router())
        self._poller = Poller(self.bot, dispatcher, gateway.store, gateway.clock, config.poll_timeout_seconds)

    def polls(self) -> bool:
        """Whether the Bot API has answered of late."""
        return time.monotonic() - self._poller.last_answer_at < self._patience

    async def run(self) -> None:
        """Serve until cancelled, however long the Bot API is away."""
        while True:
            wait = AWAY_RETRY
            try:
                await self._introduce()
                await self._poller.run()
            except (TelegramUnauthorizedError, TelegramNotFound):
                log.error("%s: Telegram does not know this bot token", self.whose)  # noqa: TRY400
                wait = REFUSED_RETRY
            except TelegramAPIError as problem:
                log.warning("%s: the Bot API is away, again in %s s: %s", self.whose, wait, problem)
            except Busy as problem:
                log.warning("%s: the store is busy, again in %s s: %s", self.whose, wait, problem)
            except Exception:
                log.exception("%s: a defect of ours, again in %s s", self.whose, wait)
            await asyncio.sleep(wait)

    async def _introduce(self) -> None:
        """Learn the bot's name and hang up its commands."""
        me = await self.bot.get_me()
        await self.bot.delete_webhook()
        for lang in (None, *LANGUAGES):
            commands = [
                BotCommand(command=name, description=translate(lang or "en", text))
                for name, text in COMMANDS.items()
            ]
            await self.bot.set_my_commands(commands, language_code=lang)
        self.username = me.username or ""
        self._poller.last_answer_at = time.monotonic()
        self._on_introduced()


class Bots:
    """The bots that the projects need just now, each in a task of its own."""

    def __init__(self, gateway: LocalGateway, config: Settings) -> None:
        self._gateway = gateway
        self._config = config
        self._tasks: dict[ServedBot, asyncio.Task[None]] = {}
        self._by_token: dict[str, ServedBot] = {}
        self._by_project: dict[int, ServedBot] = {}
        self._lost: set[int] = set()  # projects whose token can't be opened: said once
        self._introduced = asyncio.Event()

    def of_project(self, project_id: int) -> Bot | None:
        """The bot that writes for a project."""
        served = self._by_project.get(project_id)
        return served.bot if served else None

    def servers_polls(self) -> bool:
        """Whether the server's own bot, if there is to be one, gets its updates."""
        if not self._config.telegram_bot_token:
            return True
        served = self._by_token.get(self._config.telegram_bot_token)
        return served is not None and served.polls()

    async def run(self) -> None:
        """Start and stop bots as the projects want it, until cancelled; then stop them all."""
        try:
            while True:
                self._introduced.clear()
                try:
                    await self._stop(self._look())
                except Busy as problem:
                    log.warning("the store is busy, new bots wait: %s", problem)
                await wait_for(self._introduced, BOTS_EVERY)
        finally:
            await _end(self._tasks.values())

    async def close(self) -> None:
        """Let go of connections, once nothing is sent any more."""
        for served in self._tasks:
            await served.bot.session.close()

    def _look(self) -> list[ServedBot]:
        """Give every project its bot, and the projects their bot's name; the bots that nobody needs any more.

        In one go, without awaiting, so that no project changes between being read and being written.
        """
        wanted = self._wanted()
        for token, projects in wanted.items():
            served = self._by_token.get(token) or self._start(token)
            served.whose = self._whose(token, projects)
            if served.username:
                introduce_bot(self._gateway.store, projects, served.bot.id, served.username)
        self._gateway.projects.forget()
        self._by_project = {
            project.id: self._by_token[token] for token, projects in wanted.items() for project in projects
        }
        return [self._by_token.pop(token) for token in self._by_token.keys() - wanted.keys()]

    def _wanted(self) -> dict[str, list[Project]]:
        """Every token in use, with its projects. The server's bot is there for /stop even without a project."""
        servers = self._config.telegram_bot_token
        wanted: dict[str, list[Project]] = {servers: []} if servers else {}
        for project in self._gateway.store.projects():
            try:
                token = self._gateway.projects.bot_token(project) or servers
            except Unsealable:
                self._tell_lost(project)
                continue
            if token:
                wanted.setdefault(token, []).append(project)
        return wanted

    def _tell_lost(self, project: Project) -> None:
        if project.id not in self._lost:
            self._lost.add(project.id)
            log.error(
                "%s: SECRET_KEYS has lost the key of its bot token; set the token again: kodgate project set-bot",
                _name(project),
            )

    def _start(self, token: str) -> ServedBot:
        served = ServedBot(token, self._gateway, self._config, self._introduced.set)
        self._by_token[token] = served
        self._tasks[served] = asyncio.create_task(served.run())
        return served

    async def _stop(self, unneeded: list[ServedBot]) -> None:
        await _end([self._tasks[served] for served in unneeded])
        for served in unneeded:
            del self._tasks[served]
            await served.bot.session.close()

    def _whose(self, token: str, projects: list[Project]) -> str:
        if token == self._config.telegram_bot_token:
            return "TELEGRAM_BOT_TOKEN"
        return ", ".join(_name(project) for project in projects)


def _name(project: Project) -> str:
    return f"project {project.id} ({project.settings.name})"


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
