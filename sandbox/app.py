"""The process: `python -m sandbox`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from aiohttp import web

from sandbox.botapi import BotApi, call_from_webhook
from sandbox.control import Control, explain
from sandbox.inbox import Inbox
from sandbox.pages import Pages
from sandbox.state import World

log = logging.getLogger("sandbox")

MAX_BODY = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"
    port: int = 8002
    public_url: str = "http://localhost:8000"
    state: Path = Path("var/sandbox.json")

    @classmethod
    def from_environment(cls) -> Self:
        get = os.environ.get
        return cls(
            host=get("HOST") or cls.host,
            port=int(get("SANDBOX_PORT") or cls.port),
            public_url=(get("PUBLIC_URL") or cls.public_url).rstrip("/"),
            state=Path(get("SANDBOX_STATE") or cls.state),
        )


async def healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def build(settings: Settings) -> web.Application:
    world = World(settings.state)
    inbox = Inbox(world)
    api = BotApi(world)
    app = web.Application(middlewares=[explain], client_max_size=MAX_BODY)

    async def life(_app: web.Application) -> AsyncIterator[None]:
        await world.open(partial(call_from_webhook, world))
        saving = asyncio.create_task(world.keep_saved())
        yield
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving
        await world.close()

    async def let_go(_app: web.Application) -> None:
        world.stop_listening()

    app.cleanup_ctx.append(life)
    app.on_shutdown.append(let_go)
    app.add_routes([web.get("/healthz", healthz)])
    app.add_routes(Control(world).routes())
    app.add_routes(inbox.routes())
    for path in ("/bot{token:[^/]+}/{method:[^/]+}", "/bot{token:[^/]+}/test/{method:[^/]+}"):
        app.router.add_route("*", path, api.handle)
    app.add_routes(Pages(world, inbox, settings.public_url).routes())
    app.router.add_route("*", "/bot{rest:.*}", api.nothing)
    return app


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    # Requests carry tokens in their paths, so they are not logged at all.
    logging.getLogger("aiohttp.access").disabled = True
    settings = Settings.from_environment()
    log.info("http://%s:%d (state in %s)", settings.host, settings.port, settings.state)
    web.run_app(
        build(settings),
        host=None if settings.host == "::" else settings.host,  # asyncio's own `::` leaves IPv4 out
        port=settings.port,
        shutdown_timeout=0.3,
        handler_cancellation=True,
        access_log=None,
        print=None,
    )
