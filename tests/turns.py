"""Several processes share the tests of a run. Those marked `alone` run while no other test does."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """Two lock files. Every test holds `running`, together with others or for itself. Who waits for it holds
    `entrance`, so that nobody who comes later goes first: else who wants to be alone would wait for ever."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entrance = folder / "entrance.lock"
        self._running = folder / "running.lock"

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        entrance = _lock(self._entrance, fcntl.LOCK_EX)
        running = _lock(self._running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        os.close(entrance)
        try:
            yield
        finally:
            os.close(running)


def _lock(path: Path, kind: int) -> int:
    """The lock's descriptor: closing it gives the lock back, as the end of the process does."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, kind)
    return descriptor
