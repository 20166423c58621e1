"""`python -m tests.fuzzing.guided FOLDER NAME[,NAME…] [libFuzzer's flags]`: steered by coverage (atheris).

Several share the time: the first byte of an input says whose it is. What led somewhere new is kept in FOLDER. Ends
with another exit code than 0 where something came out, or took too long or too much memory; the input is then in
the folder that `-artifact_prefix` names.
"""

import logging
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Import under instrumentation, then hand over to libFuzzer."""
    folder, names = Path(sys.argv[1]), sys.argv[2].split(",")
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["gateway", "web", "tests.fuzzing"]):
        from tests.fuzzing.parsers import TARGETS

    runs: list[Callable[[bytes], None]] = [TARGETS[name].run for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        for seed in TARGETS[name].seeds:
            (folder / sha256(seed).hexdigest()[:16]).write_bytes(bytes([place]) + seed)

    def one(data: bytes) -> None:
        if data:
            runs[data[0] % len(runs)](data[1:])

    logging.disable()  # what is refused is logged, a million times
    atheris.Setup([sys.argv[0], str(folder), *sys.argv[3:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
