"""The bot process: a worker that takes updates and reports besides, and holds the live streams."""

from collections.abc import Iterable, Mapping
from typing import Any

import gateway.lean_aiogram  # noqa: F401 - before anything of aiogram

# isort: split

from bot import hooks, reports
from bot.hooks import Hooks
from bot.live import Live
from bot.reports import Reports
from bot.serving import Handler
from bot.streams import STREAMS
from bot.worker import Worker
from gateway.local import LocalGateway
from gateway.settings import Settings


class BotProcess(Worker):
    """Everything that runs in the bot process."""

    name = "bot"
    takes_updates = True

    def __init__(self, config: Settings, gateway: LocalGateway) -> None:
        super().__init__(config, gateway)
        self._live = Live(gateway, config, self.events)
        gateway.metrics.show(lambda: [{"": self._live.open}], STREAMS)
        self._reports = Reports(gateway, self.lines)
        self._hooks = Hooks(self.bots.by_id, gateway.keyring, gateway.audit)

    @property
    def port(self) -> int:
        return self.config.live_port

    def gets(self) -> Mapping[str, Handler]:
        return {**super().gets(), "/live/{token}": self._live.stream, reports.PATH: self._reports.greet}

    def posts(self) -> Mapping[str, Handler]:
        if self.config.telegram_mode == "webhook":
            return {reports.PATH: self._reports.take, hooks.PATH: self._hooks.take}
        return {reports.PATH: self._reports.take}

    def wake(self, sessions: Iterable[str]) -> None:
        super().wake(sessions)
        self._live.wake(sessions)

    def end_streams(self) -> None:
        self._live.close()

    def checks(self) -> dict[str, Any]:
        gets = self.bots.servers_gets_updates()
        return {**super().checks(), "telegram": None if gets else "the Bot API does not answer"}
