"""Measures it all and prints it. `--quick` is a smoke run of seconds; its figures mean little.

`--write` records the figures (bench/figures.json) and writes docs/performance.md from them.
"""

import dataclasses
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import document, figures, growth, live, logins, memory, parts, steady, tables
from bench.figures import SECTIONS, Figures
from bench.kinds import STORES, BenchStore, open_store
from bench.sizes import QUICK, Size

TEN_MILLION = 10_000_000
Measure = Callable[[BenchStore, Path, Size], Any]
MEASURES: dict[str, Measure] = {
    "logins": logins.measure,
    "steady": steady.measure,
    "parts": parts.measure,
    "widgets": live.measure,
    "memory": memory.measure,
    "growth": growth.measure,
}


@click.command()
@click.option("--only", default=",".join(SECTIONS), show_default=True, help="sections, separated by commas")
@click.option("--store", "stores", type=click.Choice(STORES), multiple=True, help="default: each")
@click.option("--logins", "count", type=int, help="logins a run instead of 8,000")
@click.option("--rounds", type=int, help="runs of a kind instead of 3; the median counts")
@click.option("--seconds", type=float, help="of the steady load instead of 60")
@click.option("--ten-million", is_flag=True, help="growth up to 10 million people: minutes, and 20 GB of disk")
@click.option("--quick", is_flag=True, help="a smoke run")
@click.option("--write", is_flag=True, help="record the figures and write docs/performance.md")
@click.option("--render", is_flag=True, help="only write docs/performance.md, from the recorded figures")
def main(
    only: str,
    stores: tuple[str, ...],
    count: int | None,
    rounds: int | None,
    seconds: float | None,
    ten_million: bool,
    quick: bool,
    write: bool,
    render: bool,
) -> None:
    """What a login costs: CPU of every server process, latencies, memory, and all that as data grows."""
    if render:
        document.write(figures.load())
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    wanted = only.split(",")
    if unknown := set(wanted) - set(SECTIONS):
        raise click.ClickException(f"no section is called {', '.join(sorted(unknown))}")
    if quick and write:
        raise click.ClickException("a smoke run's figures are not for the document")
    size = _size(QUICK if quick else Size(), count, rounds, seconds, ten_million)
    taken = Figures()
    for store in stores or STORES:
        for section in wanted:
            _measure(taken, section, store, size)
    click.echo(f"\n{tables.budgets(taken)}")
    if write:
        recorded = figures.load()
        for section in wanted:
            getattr(recorded, section).update(getattr(taken, section))
        figures.save(recorded)
        document.write(recorded)


def _measure(taken: Figures, section: str, store: str, size: Size) -> None:
    """In a folder of its own: databases of millions of rows go as soon as they have been measured."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kodgate-bench-") as name, open_store(store, Path(name)) as opened:
        figure = MEASURES[section](opened, Path(name), size)
    getattr(taken, section)[store] = figure
    one = Figures(**{section: {store: figure}})
    click.echo(f"\n## {section}, {store}, in {time.monotonic() - began:.0f} s\n")
    click.echo(tables.section(one, section, (store,)))


def _size(size: Size, count: int | None, rounds: int | None, seconds: float | None, ten_million: bool) -> Size:
    changes: dict[str, Any] = {"logins": count, "rounds": rounds, "steady_seconds": seconds}
    if ten_million:
        changes["growth"] = (*size.growth, TEN_MILLION)
    return dataclasses.replace(size, **{name: value for name, value in changes.items() if value is not None})


if __name__ == "__main__":
    main()
