"""The floor: the smallest answer to a body, served by the same granian settings as ours."""

import statistics
import sys
from pathlib import Path
from typing import Any

from bench.load import Plan, load
from bench.processes import Processes, free_ports

LEAST = 5000  # requests: /proc counts in hundredths of a second
HEADERS = [("content-type", "application/json")]


async def application(_: Any, transport: Any) -> None:
    await transport()
    transport.response_bytes(200, HEADERS, b"{}")


def answer_ms(folder: Path, requests: int, rounds: int) -> float:
    """CPU ms of one such answer, at 16 connections."""
    [port] = free_ports(1)
    requests = max(requests, LEAST)
    costs = []
    with Processes(folder, {}) as processes:
        processes.start("floor", ["-m", "bench.floor", str(port)], f"http://127.0.0.1:{port}/")
        for _ in range(rounds + 1):
            before = processes.cpu_seconds()["floor"]
            load(Plan(port, 16, requests, 0, create_only=True))
            costs.append((processes.cpu_seconds()["floor"] - before) / requests * 1000)
    return statistics.median_low(costs[1:])


if __name__ == "__main__":
    from web.__main__ import make_server

    make_server("bench.floor:application", "127.0.0.1", int(sys.argv[1]), workers=1, factory=False).serve()
