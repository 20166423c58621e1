"""`GET /metrics` of the bot and the worker."""

import asyncio

from aiohttp import web

from bot.serving import Handler
from gateway.local import LocalGateway
from gateway.metrics import NOT_SHOWN, Metrics, may_read


def metrics_for(token: str, metrics: Metrics) -> Handler:
    """For Prometheus, who shows the token: what this process counted, and what waits in the store."""

    async def show(request: web.Request) -> web.Response:
        if not may_read(token, request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(headers=NOT_SHOWN)
        body, kind = await asyncio.to_thread(metrics.page)  # it looks into the store
        return web.Response(body=body, headers={"content-type": kind})

    return show


def show_waiting(gateway: LocalGateway) -> None:
    """How many messages wait for a provider, and how long the oldest has: the same from every process."""

    def look() -> tuple[dict[str, float], dict[str, float]]:
        now, backlog = gateway.clock(), gateway.store.backlog()
        counts: dict[str, float] = {one.channel: one.messages for one in backlog}
        ages: dict[str, float] = {one.channel: max(0, now - one.oldest_at) / 1000 for one in backlog}
        return counts, ages

    gateway.metrics.show(
        look,
        ("kodgate_messages_waiting", "Messages that wait for a provider, in the store", "channel"),
        ("kodgate_messages_oldest_seconds", "How long the oldest of them has waited", "channel"),
    )
