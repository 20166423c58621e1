"""Where providers post their reports: `/reports/<channel>/<number>`, by the provider's place in its setting."""

import logging
from collections.abc import Mapping
from functools import partial

from aiohttp import web

from bot.serving import body_of
from gateway.channels import Channel
from gateway.lines import Line
from gateway.local import LocalGateway
from gateway.providers import ForgedReport, Report, Reporting, storable
from gateway.store import Busy

log = logging.getLogger(__name__)

PATH = "/reports/{channel}/{number}"


class Reports:
    """Takes signed reports and writes them down, each once."""

    def __init__(self, gateway: LocalGateway, lines: Mapping[Channel, Line]) -> None:
        self._gateway = gateway
        self._lines = lines

    async def greet(self, request: web.Request) -> web.Response:
        """`GET`: some providers make sure of the address first."""
        _, provider = self._provider(request)
        answer = provider.greeting(request.query)
        if answer is None:
            raise web.HTTPForbidden(text="This is not for you.")
        return web.Response(text=answer)

    async def take(self, request: web.Request) -> web.Response:
        """`POST`: 403 where it is not signed by the provider, 503 where it shall come again."""
        channel, provider = self._provider(request)
        body = await body_of(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            reports = storable(provider.reports(headers, body))
        except ForgedReport:
            log.warning("a forged report for %s was refused", channel)
            self._gateway.audit.note("provider", "report", reason="ForgedReport", detail=channel)
            raise web.HTTPForbidden(text="The signature is missing, wrong or too old.") from None
        try:
            for report in reports:
                await self._gateway.aside(partial(self._note, channel, report))
        except Busy as problem:
            log.warning("the store is busy, a report shall come again: %s", problem)
            raise web.HTTPServiceUnavailable(headers={"retry-after": "1"}) from None
        return web.json_response({"taken": len(reports)})

    def _note(self, channel: Channel, report: Report) -> None:
        gateway = self._gateway
        carried = gateway.store.carried(channel, report.reference) if report.state == "failed" else None
        instead, ceilings = gateway.reach.instead(carried, channel, active=False) if carried else ((), {})
        noted = gateway.store.report(
            channel, report.reference, report.state, report.error, instead, gateway.clock(), ceilings
        )
        if noted and report.state == "failed":
            gateway.metrics.failed(channel)

    def _provider(self, request: web.Request) -> tuple[Channel, Reporting]:
        name, number = request.match_info["channel"], request.match_info["number"]
        line = self._lines.get(Channel(name)) if name in list(Channel) else None
        index = int(number) - 1 if number.isascii() and number.isdecimal() and len(number) < 4 else -1
        provider = line.providers[index] if line and 0 <= index < len(line.providers) else None
        if not isinstance(provider, Reporting):
            raise web.HTTPNotFound(text="No provider reports here.")
        return Channel(name), provider
