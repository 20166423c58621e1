"""A load in a process of its own, so that it takes none of the time of whoever looks on."""

import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

SLACK = 60  # seconds beyond a load's own, after which it hangs
T = TypeVar("T")


def begin(module: str, plan: msgspec.Struct, seconds: float, answer: type[T]) -> Callable[[], T]:
    """Begin `module` with its plan; what is returned waits for the end."""
    command = [sys.executable, "-m", module, msgspec.json.encode(plan).decode()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def ended() -> T:
        said, _ = process.communicate(timeout=seconds + SLACK)
        assert process.returncode == 0
        return msgspec.json.decode(said, type=answer)

    return ended
