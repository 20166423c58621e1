"""Runs it all and prints it. `--quick` is a smoke run of a few seconds; its figures mean little."""

import itertools
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from bench import live, parts
from bench.load import Plan, Result
from bench.processes import SECRET, Processes, free_ports

BUDGETS = {False: 0.28, True: 0.65}  # CPU ms a login at 16 connections (issue 2)
OTPGATEWAY = {False: 0.394, True: 0.507}  # knadh/otpgateway, Go and Redis, on the same kind of machine (MEASURED)
LIVE_BUDGET_MS = 100
WIDGETS = 2000  # open at once on one bot process, and what each may weigh (issue 5)
WIDGET_BUDGET_KIB = 16
RATE = 200  # logins a second, for what a message waits where nothing is crowded (issue 4: 10 / 50 ms)
FLOOR_REQUESTS = 5000  # /proc counts in hundredths of a second
LOAD_WITHIN = 300.0

_phones = itertools.count(2_000_000, 50_000)


@dataclass
class Row:
    """One run of logins."""

    connections: int
    sent: bool
    cpu: dict[str, float]
    result: Result

    @property
    def cpu_ms(self) -> float:
        return sum(self.cpu.values())

    def __str__(self) -> str:
        mode = "webhook" if self.sent else "off"
        each = "  ".join(f"{name} {ms:.3f}" for name, ms in self.cpu.items())
        rate = len(self.result.create) / self.result.seconds
        text = f"{self.connections:>4}  {mode:<8}{self.cpu_ms:>7.3f}  ({each}){rate:>8.0f}"
        text += f"   {_ms(self.result.create)}   {_ms(self.result.check)}"
        return text + (f"   {_ms(self.result.delivered)}" if self.sent else "")


@click.command()
@click.option("--logins", default=8000, show_default=True, help="logins a run at 16 and 64 connections")
@click.option("--rounds", default=3, show_default=True, help="runs of each kind; the median is shown")
@click.option("--quick", is_flag=True, help="a smoke run")
def main(logins: int, rounds: int, quick: bool) -> None:
    """What a login costs: CPU of every server process, latencies, memory."""
    if quick:
        logins, rounds = 300, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floor = _floor(folder, max(logins, FLOOR_REQUESTS), rounds)
        rows = _logins(folder, logins, rounds)
        delays = live.measure(folder, 10 if quick else 100)
        crowd = live.measure_crowd(folder, 100 if quick else WIDGETS, 20 if quick else 1000)
        costs = parts.measure(folder, logins)
    _summary(rows, floor, delays, costs)
    _crowd(crowd)


def _logins(folder: Path, logins: int, rounds: int) -> list[Row]:
    port, live_port, sink = free_ports(3)
    environment = {
        "KODGATE_ENV": "production",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PORT": str(port),
        "LIVE_PORT": str(live_port),
        "SECRET_KEYS": SECRET,
        "PROJECT_PUBLIC_KEY": "pk_bench",
        "PROJECT_SECRET_KEY": "sk_bench",
        "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
        "SMS_URL": f"webhook+http://127.0.0.1:{sink}/",
    }
    rows = []
    click.echo(
        "conn  sending CPU ms a login (by process)          logins/s   create p50 / p99 ms   check   delivered"
    )
    with Processes(folder, environment) as processes:
        processes.start("web", ["-m", "web"], f"http://127.0.0.1:{port}/healthz")
        processes.start("bot", ["-m", "bot"], f"http://127.0.0.1:{live_port}/healthz")
        for sent in (False, True):
            _load(Plan(port, 16, min(logins, 500), next(_phones), sink if sent else 0))  # warm
        for sent, connections in itertools.product((False, True), (1, 16, 64)):
            count = logins if connections > 1 else logins // 8
            plan = Plan(port, connections, count, 0, sink if sent else 0)
            row = statistics.median_low(_Ordered(_row(processes, plan)) for _ in range(rounds)).row
            rows.append(row)
            click.echo(str(row))
        steady = _row(processes, Plan(port, 64, min(logins, 2000), 0, sink, rate=RATE))
        click.echo(
            f"at {RATE} logins a second, from the request to the provider: {_ms(steady.result.delivered)} ms"
        )
        memory = "  ".join(f"{name} {mib:.0f} MiB" for name, mib in processes.peak_mib().items())
        click.echo(f"peak memory: {memory}")
    return rows


@dataclass
class _Ordered:
    """Rows in the order of their cost, for the median."""

    row: Row

    def __lt__(self, other: "_Ordered") -> bool:
        return self.row.cpu_ms < other.row.cpu_ms


def _row(processes: Processes, plan: Plan) -> Row:
    plan.first = next(_phones)
    before = processes.cpu_seconds()
    result = _load(plan)
    after = processes.cpu_seconds()
    if result.doubled or (plan.sink and len(result.delivered) != plan.logins):
        raise SystemExit(f"{result.doubled} messages doubled, {len(result.delivered)} delivered of {plan.logins}")
    cpu = {name: (after[name] - before[name]) / plan.logins * 1000 for name in after}
    return Row(plan.connections, bool(plan.sink), cpu, result)


def _floor(folder: Path, requests: int, rounds: int) -> float:
    """CPU ms of the smallest request that granian can answer."""
    [port] = free_ports(1)
    with Processes(folder, {}) as processes:
        processes.start("floor", ["-m", "bench.floor", str(port)], f"http://127.0.0.1:{port}/")
        costs = []
        for _ in range(rounds + 1):
            before = processes.cpu_seconds()["floor"]
            _load(Plan(port, 16, requests, 0, path="/"))
            costs.append((processes.cpu_seconds()["floor"] - before) / requests * 1000)
    return statistics.median_low(costs[1:])


def _load(plan: Plan) -> Result:
    ended = subprocess.run(
        [sys.executable, "-m", "bench.load", msgspec.json.encode(plan).decode()],
        stdout=subprocess.PIPE,
        timeout=LOAD_WITHIN,
        check=False,
    )
    if ended.returncode:
        raise SystemExit("the load failed, see above")
    return msgspec.json.decode(ended.stdout, type=Result)


def _summary(rows: list[Row], floor: float, delays: list[float], costs: dict[str, float]) -> None:
    click.echo("\nWhere the time goes, in process, CPU µs:")
    for name, cost in costs.items():
        click.echo(f"{cost:>8.1f}  {name}")
    click.echo(f"\nThe floor, one empty answer by granian: {floor:.3f} CPU ms; a login needs two.")
    for row in rows:
        if row.connections == 16:
            mode = "with a webhook send" if row.sent else "sending off"
            verdict = "met" if row.cpu_ms <= BUDGETS[row.sent] else "NOT met"
            click.echo(
                f"create + check, {mode}, 16 connections: {row.cpu_ms:.3f} CPU ms a login "
                f"({row.cpu_ms / (2 * floor):.1f} x the floor); budget {BUDGETS[row.sent]}: {verdict}; "
                f"otpgateway {OTPGATEWAY[row.sent]}"
            )
    verdict = "met" if _at(delays, 0.99) * 1000 <= LIVE_BUDGET_MS else "NOT met"
    click.echo(
        f"contact to live event, {len(delays)} people: p50 {_at(delays, 0.5) * 1000:.1f} ms, "
        f"p99 {_at(delays, 0.99) * 1000:.1f} ms, longest {delays[-1] * 1000:.1f} ms; "
        f"budget p99 {LIVE_BUDGET_MS}: {verdict}"
    )


def _crowd(crowd: live.Crowd) -> None:
    weight = "met" if crowd.kib_each <= WIDGET_BUDGET_KIB else "NOT met"
    delay = "met" if _at(crowd.delays, 0.99) * 1000 <= LIVE_BUDGET_MS else "NOT met"
    click.echo(
        f"{crowd.widgets} open widgets: {crowd.kib_each:.1f} KiB each in the bot process; "
        f"budget {WIDGET_BUDGET_KIB}: {weight}\n"
        f"check to live event among them, {len(crowd.delays)} logins: p50 {_at(crowd.delays, 0.5) * 1000:.1f} ms, "
        f"p99 {_at(crowd.delays, 0.99) * 1000:.1f} ms, longest {crowd.delays[-1] * 1000:.1f} ms; "
        f"budget p99 {LIVE_BUDGET_MS}: {delay}"
    )


def _ms(times: list[float]) -> str:
    return f"{_at(times, 0.5) * 1000:6.1f} / {_at(times, 0.99) * 1000:6.1f}"


def _at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))]


if __name__ == "__main__":
    main()
