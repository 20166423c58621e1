"""Many bots in one process: the server's own (TELEGRAM_BOT_TOKEN), and one for each token that projects brought.

All processes write for all bots. By webhook, all take updates, too; where they are polled for, one process does
it for each bot. A bot that Telegram refuses, or can't be reached for, is tried again by itself; the others don't
notice.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import SetMyCommands
from aiogram.types import BotCommand

from bot.handlers import Conversations
from bot.handling import Handling
from bot.hooks import LOOK_EVERY, Webhook
from bot.talk import do
from bot.taps import Taps
from bot.updates import Poller
from gateway.bootstrap import introduce_bot
from gateway.i18n import LANGUAGES, N_, translate
from gateway.keyring import Unsealable
from gateway.leases import Lease
from gateway.local import LocalGateway
from gateway.projects import Project
from gateway.settings import Settings
from gateway.store import Busy, StoreError
from gateway.waiting import wait_for

log = logging.getLogger(__name__)

BOTS_EVERY = 5.0  # seconds between two looks at the projects: web sees a change as late (gateway.book.MAX_AGE)
AWAY_RETRY = 2.0  # seconds between two tries to reach the Bot API at start
REFUSED_RETRY = 30.0  # seconds: a refused token seldom gets better, and each try is an error in the log
SILENCE = 30  # seconds beyond a long poll, or a look, after which the Bot API counts as away
TURN_EVERY = 0.5  # seconds between two looks at whether it is this process that polls
COMMANDS = {"start": N_("Connect this chat"), "stop": N_("No more codes here"), "help": N_("What this bot does")}


class ServedBot:
    """One bot: it introduces itself, then takes updates and talks, until cancelled."""

    def __init__(
        self, token: str, gateway: LocalGateway, config: Settings, on_introduced: Callable[[], object]
    ) -> None:
        server = TelegramAPIServer.from_base(config.telegram_api_url)
        self.bot = Bot(token, session=AiohttpSession(api=server, limit=config.provider_concurrency))
        self.username = ""  # until Telegram has told it
        self.whose = ""  # for the operator: where the token comes from
        self._config = config
        self._on_introduced = on_introduced
        self._commands: asyncio.Task[None] | None = None  # being hung up, or hung up: once is enough for a process
        dispatcher = Dispatcher(disable_fsm=True)  # whose states, of which we have none, keep everybody for ever
        dispatcher.include_routers(Conversations(gateway).router(), Taps(gateway).router())
        self.handling = Handling(self.bot, dispatcher, gateway, config)
        self._webhook = Webhook(self.bot, gateway.keyring, config)
        self._poller = Poller(self.bot, self.handling, config.poll_timeout_seconds)
        lease = f"poll {self.bot.id}"
        self._lease = Lease(gateway.store, gateway.clock, lease, config.poll_lease_seconds)

    def gets_updates(self) -> bool:
        """Whether the Bot API has answered of late, or another process is the one that polls."""
        if self._config.telegram_mode == "webhook":
            return time.monotonic() - self._webhook.last_answer_at < LOOK_EVERY + SILENCE
        if self.username and not self._lease.mine:
            return True
        return time.monotonic() - self._poller.last_answer_at < self._config.poll_timeout_seconds + SILENCE

    async def run(self) -> None:
        """Serve until cancelled, however long the Bot API is away."""
        try:
            await self._serve()
        finally:
            if self._commands:
                await _end([self._commands])

    async def _serve(self) -> None:
        while True:
            wait = AWAY_RETRY
            try:
                await self._introduce()
                if self._config.telegram_mode == "webhook":
                    await self._webhook.keep_set()
                else:
                    await self._take_turns()
            except (TelegramUnauthorizedError, TelegramNotFound):
                log.error("%s: Telegram does not know this bot token", self.whose)  # noqa: TRY400
                wait = REFUSED_RETRY
            except TelegramAPIError as problem:
                if isinstance(problem, TelegramRetryAfter):
                    wait = max(wait, problem.retry_after)
                log.warning("%s: the Bot API is away, again in %s s: %s", self.whose, wait, problem)
            except ClientDecodeError:  # its text quotes the answer
                log.warning("%s: the Bot API made no sense, again in %s s", self.whose, wait)
            except Exception:
                log.exception("%s: a defect of ours, again in %s s", self.whose, wait)
            await asyncio.sleep(wait)

    async def _introduce(self) -> None:
        """Learn the bot's name, which links wait for; its commands, which no login needs, are hung up beside."""
        me = await self.bot.get_me()
        self.username = me.username or ""
        self._on_introduced()
        if self._commands is None:
            self._commands = asyncio.create_task(self._hang_up_commands())

    async def _hang_up_commands(self) -> None:
        for lang in (None, *LANGUAGES):
            commands = [
                BotCommand(command=name, description=translate(lang or "en", text))
                for name, text in COMMANDS.items()
            ]
            await do(self.bot, SetMyCommands(commands=commands, language_code=lang))

    async def _take_turns(self) -> None:
        """Poll while this process holds the bot's lease; Telegram lets no two poll at once."""
        try:
            while True:
                while not await self._lease.held():
                    await asyncio.sleep(TURN_EVERY)
                await self.bot.delete_webhook(drop_pending_updates=False)
                self._poller.last_answer_at = time.monotonic()
                log.info("%s: this process polls for bot %s", self.whose, self.bot.id)
                await self._poll_while_held()
        finally:
            self._lease.let_go()

    async def _poll_while_held(self) -> None:
        polling = asyncio.create_task(self._poller.run())
        try:
            while await self._lease.held():
                done, _ = await asyncio.wait([polling], timeout=TURN_EVERY)
                if done:
                    polling.result()  # it raises why it ended
            log.warning("%s: another process polls now", self.whose)
        finally:
            polling.cancel()
            await asyncio.wait([polling])


class Bots:
    """The bots that the projects need just now, each in a task of its own."""

    def __init__(self, gateway: LocalGateway, config: Settings, *, takes_updates: bool = True) -> None:
        self._gateway = gateway
        self._config = config
        self._takes_updates = takes_updates
        self._tasks: dict[ServedBot, asyncio.Task[None]] = {}
        self._by_token: dict[str, ServedBot] = {}
        self._by_project: dict[int, ServedBot] = {}
        self._lost: set[int] = set()  # projects whose token can't be opened: said once
        self._introduced = asyncio.Event()

    def of_project(self, project_id: int) -> Bot | None:
        """The bot that writes for a project."""
        served = self._by_project.get(project_id)
        return served.bot if served else None

    def by_id(self, bot_id: int) -> ServedBot | None:
        """The bot of this id."""
        return next((served for served in self._by_token.values() if served.bot.id == bot_id), None)

    def servers_gets_updates(self) -> bool:
        """Whether the server's own bot, if there is to be one, gets its updates."""
        if not self._config.telegram_bot_token:
            return True
        served = self._by_token.get(self._config.telegram_bot_token)
        return served is not None and served.gets_updates()

    async def run(self) -> None:
        """Start and stop bots as the projects want it, until cancelled; then stop them all."""
        try:
            while True:
                self._introduced.clear()
                try:
                    await self._stop(await self._look())
                except (Busy, StoreError) as problem:
                    log.warning("the store is busy, new bots wait: %s", problem)
                await wait_for(self._introduced, BOTS_EVERY)
        finally:
            await _end(self._tasks.values())

    async def close(self) -> None:
        """Let go of connections, once nothing is sent any more."""
        await _close(self._tasks)

    async def _look(self) -> list[ServedBot]:
        """Give every project its bot, and the projects their bot's name; the bots that nobody needs any more."""
        wanted = await self._gateway.aside(self._wanted)
        for token, projects in wanted.items():
            served = self._by_token.get(token) or self._start(token)
            served.whose = self._whose(token, projects)
        await asyncio.to_thread(self._introduce, wanted)
        self._gateway.projects.forget()
        self._by_project = {
            project.id: self._by_token[token] for token, projects in wanted.items() for project in projects
        }
        return [self._by_token.pop(token) for token in self._by_token.keys() - wanted.keys()]

    def _introduce(self, wanted: dict[str, list[Project]]) -> None:
        """Beside the loop: where a project gets another bot, its chats are handed over, which may take seconds."""
        for token, projects in wanted.items():
            served = self._by_token[token]
            if served.username:
                introduce_bot(self._gateway.store, projects, served.bot.id, served.username)

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
        self._tasks[served] = asyncio.create_task(served.run() if self._takes_updates else _idle())
        return served

    async def _stop(self, unneeded: list[ServedBot]) -> None:
        await _end([self._tasks[served] for served in unneeded])
        for served in unneeded:
            del self._tasks[served]
        await _close(unneeded)

    def _whose(self, token: str, projects: list[Project]) -> str:
        if token == self._config.telegram_bot_token:
            return "TELEGRAM_BOT_TOKEN"
        return ", ".join(_name(project) for project in projects)


def _name(project: Project) -> str:
    return f"project {project.id} ({project.settings.name})"


async def _idle() -> None:
    """A bot that only writes."""
    await asyncio.Event().wait()


async def _close(bots: Collection[ServedBot]) -> None:
    """All at once: aiogram gives each a quarter of a second, and a process that ends has few."""
    await asyncio.gather(*(served.bot.session.close() for served in bots))


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
