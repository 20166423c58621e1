"""web and bot as in production, on a store to be measured."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.kinds import BenchStore
from bench.processes import SECRET, Processes, free_ports


@dataclass
class Site:
    """Where it listens; `sink` is the port that its messages go to. `started`: seconds until each answered 200."""

    port: int
    live_port: int
    sink: int
    processes: Processes
    started: dict[str, float]


@contextmanager
def running(
    store: BenchStore, folder: Path, url: str, ports: Sequence[int] = (), **environment: str
) -> Iterator[Site]:
    """Limits and audit log on, no sandbox; ended when the block is."""
    port, live_port, sink = ports or free_ports(3)
    logs = folder / f"{url.rpartition('/')[2]}-logs"
    logs.mkdir(exist_ok=True)
    with Processes(logs, {**settings(url, port, live_port, sink), **environment}) as processes:
        web = processes.start("web", ["-m", "web"], f"http://127.0.0.1:{port}/healthz")
        bot = processes.start("bot", ["-m", "bot"], f"http://127.0.0.1:{live_port}/healthz")
        store.count_in(processes)
        yield Site(port, live_port, sink, processes, {"web": web, "bot": bot})


def settings(url: str, port: int, live_port: int, sink: int) -> dict[str, str]:
    """Those of every site measured here."""
    return {
        "KODGATE_ENV": "production",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PORT": str(port),
        "LIVE_PORT": str(live_port),
        "SECRET_KEYS": SECRET,
        "PROJECT_PUBLIC_KEY": "pk_bench",
        "PROJECT_SECRET_KEY": "sk_bench_0123456789",
        "PROJECT_COUNTRIES": "RU",
        "DATABASE_URL": url,
        "SMS_URL": f"webhook+http://127.0.0.1:{sink}/",
    }
