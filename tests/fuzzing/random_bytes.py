"""The parsers' targets on bytes that hypothesis draws: their seeds, changed, and anything."""

import logging
import time

from hypothesis import HealthCheck, given
from hypothesis import settings as chosen
from hypothesis import strategies as st

from tests.fuzzing.parsers import TARGETS

HANGS = 5.0  # seconds of CPU for one input: most take a thousandth of one


def run(name: str, **settings: object) -> int:
    """How many inputs it took. `settings` are hypothesis's."""
    target, taken = TARGETS[name], 0
    seeds = st.sampled_from([b"", *target.seeds])
    changed = st.tuples(seeds, st.integers(0, 60), st.binary(max_size=8), st.integers(0, 8)).map(_changed)

    @chosen(deadline=None, suppress_health_check=list(HealthCheck), **settings)  # type: ignore[arg-type]
    @given(seeds | changed | st.binary(max_size=300) | st.text(max_size=100).map(_encoded))
    def feed(data: bytes) -> None:
        nonlocal taken
        taken += 1
        began = time.thread_time()
        target.run(data)
        assert time.thread_time() - began < HANGS

    before = logging.root.manager.disable
    logging.disable()  # what is refused is logged
    try:
        feed()
    finally:
        logging.disable(before)
    return taken


def _changed(parts: tuple[bytes, int, bytes, int]) -> bytes:
    seed, place, more, gone = parts
    return seed[:place] + more + seed[place + gone :]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
