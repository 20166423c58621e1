"""Starting our processes as in production, and what the operating system says they used."""

import itertools
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from urllib.error import URLError
from urllib.request import urlopen

from bench.limits import NO_LIMITS_HERE

ROOT = Path(__file__).resolve().parent.parent
SECRET = "bench-secret-bench-secret-bench-secret"
START_WITHIN = 60.0
STOP_WITHIN = 10.0
OUR_PORTS = range(10_000, 32_000)  # Linux gives those from 32768 on to outgoing connections
_asked = itertools.count(SystemRandom().randrange(len(OUR_PORTS)))
_TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, nor is given for an outgoing connection before their server starts. A process
    hands out none twice, and begins where no other does."""
    found: list[int] = []
    while len(found) < count:
        port = OUR_PORTS[next(_asked) % len(OUR_PORTS)]
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


class Processes:
    """Processes of ours, ended by id when the block ends."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **NO_LIMITS_HERE,
            **environment,
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._others: dict[str, int] = {}

    def count(self, name: str, pid: int) -> None:
        """Count a process that somebody else starts and ends among ours, such as a database server."""
        self._others[name] = pid

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, _: object, problem: BaseException | None, *__: object) -> None:
        for name, process in self._running.items():
            if problem and process.poll() is not None:
                sys.stderr.write(f"{name} had ended by itself:\n{(self._folder / f'{name}.log').read_text()}\n")
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, command: list[str], health: str) -> float:
        """Start `python <command>` and wait until `health` answers 200; how many seconds that took."""
        began = time.monotonic()
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        while not _answers(health):
            if self._running[name].poll() is not None or time.monotonic() > began + START_WITHIN:
                raise SystemExit(f"{name} did not start:\n{(self._folder / f'{name}.log').read_text()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time of each process with its children, since its start (/proc/<pid>/stat)."""
        return {name: cpu_seconds(pid) for name, pid in self._pids().items()}

    def resident_kib(self) -> dict[str, int]:
        """The memory that each process with its children holds now; what they share is counted once (Pss)."""
        return {name: resident_kib(pid) for name, pid in self._pids().items()}

    def peak_mib(self) -> dict[str, float]:
        """The most memory that each process of ours with its children ever held (VmHWM)."""
        return {
            name: sum(_status(pid, "VmHWM") for pid in _tree(process.pid)) / 1024
            for name, process in self._running.items()
        }

    def _pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()} | self._others


def cpu_seconds(pid: int) -> float:
    """Those of a process with its children, since its start."""
    return sum(map(_cpu, _tree(pid)))


def resident_kib(pid: int) -> int:
    """The memory that a process with its children holds now; what they share is counted once (Pss)."""
    return sum(map(_pss, _tree(pid)))


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended meanwhile
        return []
    return [pid, *(one for child in children for one in _tree(int(child)))]


def _cpu(pid: int) -> float:
    """With that of its children that have ended: database servers have such as live for a second."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def _pss(pid: int) -> int:
    """KiB."""
    try:
        return _number(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
    except OSError:
        return 0


def _status(pid: int, field: str) -> int:
    """KiB."""
    return _number(Path(f"/proc/{pid}/status"), field)


def _number(path: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(field))
