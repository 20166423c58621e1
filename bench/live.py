"""Live streams: from a check to the event at the browser's end, and what an open stream weighs."""

import subprocess
import sys
from pathlib import Path

import msgspec

from bench import widgets
from bench.figures import Widgets, spread
from bench.kinds import BenchStore
from bench.machine import taken
from bench.running import Site, running
from bench.sizes import Size

WARM = 100  # widgets opened and closed before the first weighing: what a first request loads is nobody's
LOGINS_A_SECOND = 50.0  # of 2,000 open widgets: each is open for 40 s


def measure(store: BenchStore, folder: Path, size: Size) -> Widgets:
    """One bot process with many open streams, of whom one after another logs in and another comes."""
    now = taken(store.version())
    with running(store, folder, store.new("widgets")) as site:
        _weigh(site, widgets.Plan(site.port, site.live_port, WARM, WARM, 0, 1_000_000))
        plan = widgets.Plan(
            site.port, site.live_port, size.widgets, size.widget_logins, LOGINS_A_SECOND, 2_000_000
        )
        opened, kib_each, delays = _weigh(site, plan)
    return Widgets(now, size.widgets, round(opened, 1), round(kib_each, 1), spread(delays))


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
