"""Live streams: from a contact or a check to the event at the browser's end, and what an open stream weighs."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import msgspec

from bench import widgets
from bench.figures import Widgets, spread
from bench.machine import taken
from bench.processes import SECRET, Processes, free_ports
from bench.running import Site, running
from bench.sizes import Size
from bench.stores import BenchStore
from gateway.clock import system_clock
from gateway.keyring import Keyring
from gateway.settings import SANDBOX_BOT
from gateway.tokens import LiveClaim, live_tokens

STARTED_WITHIN = 10.0
WARM = 100  # widgets opened and closed before the first weighing: what a first request loads is nobody's
LOGINS_A_SECOND = 50.0  # of 2,000 open widgets: each is open for 40 s


def measure(store: BenchStore, folder: Path, size: Size) -> Widgets:
    """One bot process with many open streams; then, elsewhere, people who activate one after another."""
    now = taken(store.version())
    with running(store, folder, store.new("widgets")) as site:
        _weigh(site, widgets.Plan(site.port, site.live_port, WARM, WARM, 0, 1_000_000))
        plan = widgets.Plan(
            site.port, site.live_port, size.widgets, size.widget_logins, LOGINS_A_SECOND, 2_000_000
        )
        opened, kib_each, delays = _weigh(site, plan)
    activated = spread(_activate(store.new("live"), folder, size.people))
    return Widgets(now, size.widgets, round(opened, 1), round(kib_each, 1), spread(delays), activated)


def _weigh(site: Site, plan: widgets.Plan) -> tuple[float, float, list[float]]:
    """Seconds that opening them took, KiB of the bot process that each weighs, seconds from check to event."""
    before = site.processes.resident_kib()["bot"]
    command = [sys.executable, "-m", "bench.widgets", msgspec.json.encode(plan).decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        opened = load.stdout.readline() if load.stdout else b""
        weight = site.processes.resident_kib()["bot"] - before
        told, _ = load.communicate(b"\n")
    if load.returncode or not opened:
        raise SystemExit("the widgets failed, see above")
    seconds = msgspec.json.decode(opened, type=widgets.Opened).seconds
    return seconds, weight / plan.widgets, msgspec.json.decode(told, type=widgets.Told).delays


def _activate(url: str, folder: Path, people: int) -> list[float]:
    """Seconds; the clock starts before the sandbox has even accepted the contact."""
    port, live_port, sandbox_port = free_ports(3)
    environment = {
        "PORT": str(port),
        "LIVE_PORT": str(live_port),
        "SANDBOX_PORT": str(sandbox_port),
        "SECRET_KEYS": SECRET,
        "PROJECT_PUBLIC_KEY": "pk_bench",
        "PROJECT_SECRET_KEY": "sk_bench",
        "DATABASE_URL": url,
        "SANDBOX_STATE": str(folder / "sandbox.json"),
        "LOG_LEVEL": "WARNING",
        "SUSPICION_SESSIONS": "1000000",  # these people activate, and never enter their codes
    }
    with Processes(folder, environment) as processes:
        for name, its_port in (("sandbox", sandbox_port), ("web", port), ("bot", live_port)):
            processes.start(name, ["-m", name], f"http://127.0.0.1:{its_port}/healthz")
        return asyncio.run(_measure(port, live_port, sandbox_port, people))


async def _measure(port: int, live_port: int, sandbox_port: int, people: int) -> list[float]:
    async with aiohttp.ClientSession(headers={"x-api-key": "pk_bench"}) as http:
        web, live = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{live_port}"
        sandbox = f"http://127.0.0.1:{sandbox_port}"
        return [await _one(http, web, live, sandbox, f"+7953{3_000_000 + n}") for n in range(people)]


async def _one(http: aiohttp.ClientSession, web: str, live: str, sandbox: str, phone: str) -> float:
    async with http.post(f"{web}/session/create", json={"to": phone, "type": "telegram"}) as answer:
        created = await answer.json()
    token = live_tokens(Keyring([SECRET]), system_clock).sign(LiveClaim(1, created["session_id"], "en"))
    async with http.post(f"{sandbox}/api/people", json={"phone": phone}) as answer:
        chat = f"{sandbox}/api/chats/{SANDBOX_BOT}/{(await answer.json())['user_id']}"
    payload = created["channels"][0]["link"].partition("?start=")[2]
    async with http.post(f"{chat}/start", json={"payload": payload}) as answer:
        answer.raise_for_status()
    await _until_asked(http, chat)
    async with http.get(f"{live}/live/{token}") as stream:
        await _until_active(stream, active=False)
        began = time.perf_counter()
        async with http.post(f"{chat}/contact", json={}) as answer:
            answer.raise_for_status()
        await _until_active(stream, active=True)
        return time.perf_counter() - began


async def _until_asked(http: aiohttp.ClientSession, chat: str) -> None:
    async with asyncio.timeout(STARTED_WITHIN):
        while True:
            async with http.get(chat) as answer:
                if (await answer.json())["keyboard"]:
                    return
            await asyncio.sleep(0.01)


async def _until_active(stream: aiohttp.ClientResponse, *, active: bool) -> None:
    async with asyncio.timeout(STARTED_WITHIN):
        async for line in stream.content:
            if line.startswith(b"data: "):
                [telegram, *_] = json.loads(line[6:])["channels"]
                if telegram["is_active"] is active:
                    return
    raise SystemExit("the live stream ended too soon")
