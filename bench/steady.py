"""500 logins a second for a minute, everything on: limits, audit log, sends, the bot, live streams."""

import subprocess
import sys
from pathlib import Path

import msgspec

from bench import crowd
from bench.botapi import TOKEN
from bench.figures import DELIVERED, Steady, spread
from bench.kinds import BenchStore
from bench.machine import taken
from bench.processes import free_ports
from bench.running import running
from bench.sizes import Size

ACTIVATES = 25  # every 25th is new to the bot: 20 a second, as Telegram lets a bot write 30 messages
FIRST = 2_000_000


def measure(store: BenchStore, folder: Path, size: Size) -> Steady:
    """Latencies of each request, of the events, and what went wrong."""
    now = taken(store.version())
    port, live_port, sink, bot_api = free_ports(4)
    logins = round(size.steady_rate * size.steady_seconds)
    plan = crowd.Plan(port, live_port, sink, bot_api, logins, size.steady_rate, ACTIVATES, FIRST)
    telegram = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": f"http://127.0.0.1:{bot_api}"}
    command = [sys.executable, "-m", "bench.crowd", msgspec.json.encode(plan).decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        if not load.stdout or not load.stdout.readline():
            raise SystemExit("the crowd did not start, see above")
        with running(store, folder, store.new("steady"), ports=(port, live_port, sink), **telegram) as site:
            before = site.processes.cpu_seconds()
            answer, _ = load.communicate(b"\n")
            after = site.processes.cpu_seconds()
    if load.returncode:
        raise SystemExit("the crowd failed, see above")
    told = msgspec.json.decode(answer, type=crowd.Told)
    for problem, times in told.errors.items():
        sys.stderr.write(f"{times} times {problem}\n")
    spreads = {
        "create": spread(told.create),
        "check": spread(told.check),
        "stream opened, first event": spread(told.opened),
        DELIVERED: spread(told.delivered),
        "check to the stream": spread(told.used),
    }
    cpu = {name: round((after[name] - before[name]) / logins * 1000, 4) for name in after}
    return Steady(
        now,
        size.steady_rate,
        round(told.seconds, 1),
        logins,
        sum(told.errors.values()),
        cpu,
        spreads,
        spread(told.activated),
    )
