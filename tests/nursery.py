"""Bot processes without the two seconds in which each imports aiogram: one that has done so forks them.

From there on each is what `python -m bot` is. That itself is started by `make run` (browser/test_clean_clone) and
from the image (deploy/test_image).
"""

import atexit
import gc
import importlib
import os
import select
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

ROOT = Path(__file__).resolve().parent.parent
MODULES = {"bot": "bot.__main__", "bot.worker": "bot.worker"}
IMPORTED = (*MODULES.values(), "bot.app", "bot.hosted")


class Order(msgspec.Struct):
    """A process to be started: its module, where, with which environment, and the file that it writes to."""

    module: str
    folder: str
    environment: dict[str, str]
    log: str


class Forked:
    """As much of `subprocess.Popen` as the tests need; its process is another one's child, so how it ended nobody
    knows."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended already
            self._handle = None

    def poll(self) -> int | None:
        return 0 if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return 0

    def send_signal(self, number: int) -> None:
        if self._handle is not None:
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        if self._handle is not None and _ended(self._handle, timeout):
            os.close(self._handle)
            self._handle = None
        return self._handle is None


def _ended(handle: int, timeout: float | None) -> bool:
    """Whether the process ends in time. `select` knows no handles above 1,024."""
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(None if timeout is None else timeout * 1000))


Process = subprocess.Popen[bytes] | Forked


def start(name: str, folder: Path, environment: dict[str, str], log: Path) -> Process:
    """Start web, bot, bot.worker or sandbox in a process group of its own."""
    if name in MODULES and environment["PYTHONPATH"] == str(ROOT):
        return _nursery.start(Order(MODULES[name], str(folder), environment, str(log)))
    with log.open("ab") as written:
        return subprocess.Popen(
            [sys.executable, "-m", name],
            cwd=folder,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Nursery:
    """The process that forks, begun by the first order and ended with ours."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, order: Order) -> Forked:
        orders, answers = self._pipes()
        orders.write(msgspec.json.encode(order) + b"\n")
        orders.flush()
        return Forked(int(answers.readline()))

    def close(self) -> None:
        if self._process and self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            atexit.register(self.close)
        assert self._process.stdin
        assert self._process.stdout
        return self._process.stdin, self._process.stdout


_nursery = Nursery()


def main() -> None:
    """Fork a process an order, one order a line, and answer its id."""
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # shared with every process to come: nobody need look through it again
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they leave nothing behind
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        pid = os.fork()
        if pid == 0:
            become(order)
        with suppress(ProcessLookupError):  # it may have ended already
            os.setpgid(pid, pid)  # here as well as there, whoever comes first
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def become(order: Order) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for ours, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, standard)
    os.close(nothing)
    os.close(log)
    try:
        sys.modules[order.module].main()
    except SystemExit as end:
        sys.stderr.write(end.code if isinstance(end.code, str) else "")
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)  # what is left to do is to take aiogram's models apart, which were never put together here


if __name__ == "__main__":
    main()
