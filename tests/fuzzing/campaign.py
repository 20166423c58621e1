"""The parts of a campaign, for a minute or for an hour: each says how many cases it ran, and fails by raising."""

import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gateway.settings import ROOT
from tests.databases import CURRENT, Database, current
from tests.fuzzing import random_bytes, requests, updates, verbs
from tests.fuzzing.parsers import TARGETS
from tests.postgres import PostgresServer
from tests.servers import Servers, hosted_by
from tests.world import World, make_world

SLOWEST = 10  # seconds for one input: most take a thousandth of one
LARGEST = 1500  # MiB that a fuzzer's process may take; it has 100
LONGEST_INPUT = 4096  # bytes

_MANY = "1000/1"
NO_LIMITS: dict[str, Any] = {
    f"limit_{name}": _MANY
    for name in (
        "guesses",
        "sends_destination",
        "sends_browser",
        "sends_prefix",
        "sends_project",
        "checks_browser",
        "checks_project",
        "activations_chat",
        "activations_destination",
        "activations_project",
    )
}


class Found(Exception):
    """Something came out; the text holds what is needed to see it again."""


def has_atheris() -> bool:
    """Whether the parsers can be steered by coverage: there are wheels for some Pythons and machines only."""
    return importlib.util.find_spec("atheris") is not None


def guided(names: list[str], seconds: int, folder: Path) -> int:
    """How many inputs atheris made for these targets. Raises `Found`."""
    finds = folder / "finds"
    finds.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzzing.guided", str(folder / "-".join(names)[:60]), ",".join(names)),
            *(f"-max_total_time={seconds}", f"-timeout={SLOWEST}", f"-rss_limit_mb={LARGEST}"),
            *(f"-max_len={LONGEST_INPUT}", f"-artifact_prefix={finds}/", "-print_final_stats=1"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds * 3 + 120,
    )
    if ended.returncode:
        raise Found(f"{', '.join(names)}: inputs in {finds}\n{(ended.stdout + ended.stderr)[-4000:]}")
    ran = re.search(r"number_of_executed_units: (\d+)", ended.stderr)
    if ran is None:
        raise Found(f"{', '.join(names)}: atheris did not say how much it ran\n{ended.stderr[-2000:]}")
    return int(ran[1])


def new_world() -> World:
    """A gateway on a database of its own, of the current kind, whose limits are far away."""
    folder = Path(tempfile.mkdtemp(prefix="kodgate-fuzz-")) if CURRENT[-1].kind == "sqlite" else Path()
    return make_world(folder, audit_flush_seconds=3600, **NO_LIMITS)


def end_world(world: World) -> None:
    world.gateway.close()
    if CURRENT[-1].kind == "sqlite":
        shutil.rmtree(Path(world.settings.database_url.removeprefix("sqlite:///")).parent)
    else:
        CURRENT[-1].close()


@contextmanager
def on_postgres() -> Iterator[None]:
    """New worlds are on PostgreSQL meanwhile."""
    with PostgresServer() as server, current(Database(lambda: server)):
        yield


@contextmanager
def new_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kodgate-fuzz-") as folder:
        yield Path(folder)


def until(end: float, play: Callable[[], int]) -> int:
    """Play rounds until then; how many cases there were."""
    cases = 0
    while time.monotonic() < end:
        cases += play()
    return cases


def run(minutes: float, folder: Path, tell: Callable[[str], object]) -> None:
    """Half of the time for the parsers, an eighth each for verbs on both stores, updates and requests.

    Updates come by polling and by webhook; requests go to a site of its own and to one on an account elsewhere.
    Raises `Found`.
    """
    part = minutes * 60 / 16

    def go(words: str, parts: int, play: Callable[[], int]) -> None:
        tell(words.format(until(time.monotonic() + parts * part, play)))

    each = max(1, round(8 * part / len(TARGETS)))
    for name in TARGETS:
        if has_atheris():
            tell(f"{name}: {guided([name], each, folder)} inputs, steered by coverage")
        else:
            inputs = until(time.monotonic() + each, partial(random_bytes.run, name, **round_of(1000)))
            tell(f"{name}: {inputs} inputs")
    logging.disable()
    any_order = partial(verbs.run, new_world, end_world, stateful_step_count=60, **round_of(50))
    go("verbs on SQLite: {} steps", 2, any_order)
    with on_postgres():
        go("verbs on PostgreSQL: {} steps", 2, any_order)
    with new_folder() as ours, Servers(ours, TELEGRAM_MODE="webhook") as servers:
        go("updates by webhook: {} taken", 1, partial(updates.run, servers, **round_of(20)))
        go("requests: {} answered", 1, partial(requests.run, servers, **round_of(50)))
    with new_folder() as there, Servers(there) as upstream:
        go("updates by polling: {} taken", 1, partial(updates.run, upstream, **round_of(20)))
        with new_folder() as here, hosted_by(upstream, here) as site:
            go("requests of a hosted site: {} answered", 1, partial(requests.run, site, **round_of(50)))


def round_of(examples: int) -> dict[str, Any]:
    """Hypothesis's settings for a round: what it finds is printed with how to see it again."""
    return {"max_examples": examples, "print_blob": True}
