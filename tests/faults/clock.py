"""A clock for our processes that jumps when we say so, by a `sitecustomize` of theirs: libfaketime 0.9.10 breaks
Python's `time.sleep` (EINVAL from clock_nanosleep), and a time namespace has no wall clock."""

import struct
from pathlib import Path

_CUSTOM = """
import mmap, os, struct, time
with open(os.environ["FAULTS_CLOCK"], "rb") as file:
    ahead = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
real_ns = time.time_ns
time.time_ns = lambda: real_ns() + struct.unpack_from("<q", ahead)[0]
time.time = lambda: time.time_ns() / 1e9
"""


class JumpingClock:
    """The wall clock of all processes that start with `environment`; monotonic clocks stay as they are."""

    def __init__(self, folder: Path, python_path: str) -> None:
        self._file = folder / "clock"
        custom = folder / "custom"
        custom.mkdir()
        (custom / "sitecustomize.py").write_text(_CUSTOM)
        self._file.write_bytes(bytes(8))
        self.environment = {"FAULTS_CLOCK": str(self._file), "PYTHONPATH": f"{custom}:{python_path}"}

    def jump(self, seconds: float) -> None:
        """From now on it is so many seconds ahead of the machine's."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("<q", round(seconds * 1e9)))
