"""`make attack`: plays every threat at full size against processes of its own, in some ten minutes."""

import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bench.limits import NO_LIMITS_HERE
from tests.attack import (
    behind,
    flood,
    flooding,
    guesser,
    guessing,
    inward,
    pages,
    telegram,
    times,
    tokens,
    wire,
)
from tests.attack.outcome import Outcome, table
from tests.attack.site import Site, Target

ENUMERATION = "finding out who is known (enumeration)"
SHARE, P99_MS = 0.99, 250  # of honest logins beside a million guesses


class Run:
    """Plays attacks one after another; one that can't be played counts as one that got through."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.failed = False

    def play(self, attack: Callable[[], Outcome | list[Outcome]]) -> None:
        began = time.monotonic()
        try:
            come = attack()
        except Exception:
            traceback.print_exc()
            self.failed = True
            return
        for outcome in come if isinstance(come, list) else [come]:
            self.outcomes.append(outcome)
            self.failed |= outcome.through > 0
            seconds = time.monotonic() - began
            through = f"{outcome.through} of {outcome.times:,}"
            click.echo(f"{seconds:6.1f} s  {through}  {outcome.threat}: {outcome.tried}; {outcome.note}")


@click.command()
@click.option("--only", default="", help="one part: small, guesses, flood, times")
@click.option("--guesses", default=1_000_000, show_default=True, help="at 1,000 phones from 10,000 addresses")
@click.option(
    "--http-seconds", default=120, show_default=True, help="of which those that fit in here go over HTTP"
)
@click.option("--flood-seconds", default=20, show_default=True)
def main(only: str, guesses: int, http_seconds: int, flood_seconds: int) -> None:
    """Every threat of docs/security.md against running processes; exit code 1 where anything got through."""
    run = Run()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if only in ("", "small"):
            _small(run, folder)
        if only in ("", "guesses"):
            _guesses(run, folder, guesses, http_seconds)
        if only in ("", "flood"):
            _floods(run, folder, flood_seconds)
        if only in ("", "times"):
            run.play(lambda: _times(folder))
    click.echo(f"\n{table(run.outcomes)}")
    sys.exit(run.failed)


@contextmanager
def _site(folder: Path, name: str, **environment: str) -> Iterator[Site]:
    home = folder / name
    home.mkdir()
    with Site(home, **environment) as site:
        yield site


def _small(run: Run, folder: Path) -> None:
    with _site(folder, "small", CALLBACK_NETWORKS=f"{inward.ALLOWED}/32") as site:
        take = site.target
        shop = site.target(origins=(pages.OWN,))
        run.play(lambda: guessing.wrong_codes_at_once(take(), 10))
        run.play(lambda: guessing.right_code_raced(take(), 20))
        run.play(lambda: guessing.codes_brought_along(take(), 10))
        run.play(lambda: guessing.new_codes(take(), 10, 20))
        run.play(lambda: guessing.day_by_day(_home(folder, "days"), (1, 4, 5, 50), 2))
        run.play(lambda: tokens.replayed(take(), 20))
        run.play(lambda: tokens.changed(take(), 1000))
        run.play(lambda: tokens.of_others(take(), take(), 20))
        run.play(lambda: tokens.sessions_of_others(take(), take(), 20))
        run.play(lambda: flooding.one_phone(take(), 60))
        run.play(lambda: flooding.forged_hops(take(), 60))
        run.play(lambda: flooding.one_ipv6_network(take(), 60))
        run.play(lambda: flooding.no_cookies(take(), 60))
        run.play(lambda: flooding.slow_pump(_home(folder, "pump"), 3600))
        run.play(lambda: telegram.second_browser(take(), 6))
        run.play(lambda: telegram.taps_by_strangers(take(), 5))
        run.play(lambda: telegram.guessed_numbers(take(), 6))
        run.play(lambda: telegram.others_contacts(take(), 5))
        run.play(lambda: telegram.phished_links(take(), 10))
        run.play(lambda: telegram.forged_links(take(), 60))
        run.play(lambda: pages.foreign_forms(take()))
        run.play(lambda: pages.frames(take()))
        run.play(lambda: pages.markup(take()))
        run.play(lambda: pages.ways_back(shop))
        run.play(lambda: pages.injected_headers(shop))
        run.play(lambda: pages.strangers_pages(shop))
        run.play(lambda: pages.keys(take()))
        run.play(lambda: inward.callbacks(take()))
        run.play(lambda: wire.oversize(take()))
        run.play(lambda: wire.slow(take(), 50, 3))
        run.play(lambda: wire.slow_bodies(take(), 50, 3))
        run.play(lambda: wire.paths(take()))
        run.play(lambda: wire.log_lines(take(), 20))
        run.play(lambda: behind.forged_reports(take(), 200))
        run.play(lambda: behind.hidden_traces(take()))
        run.play(lambda: behind.spoils(site, take(), 10))


def _home(folder: Path, name: str) -> Path:
    home = folder / name
    home.mkdir()
    return home


def _guesses(run: Run, folder: Path, guesses: int, seconds: int) -> None:
    done = 0

    def by_http() -> Outcome:
        nonlocal done
        with _site(folder, "guesses") as site:
            target = site.target()
            port, key = int(site.web.rpartition(":")[2]), target.public["x-api-key"]
            outcome, honest = guessing.million_by_http(
                target, guesser.Plan(port, key, guesses, seconds, 1000, 10_000), logins_a_second=5
            )
        done = outcome.times
        if honest.share < SHARE or honest.at(0.99) > P99_MS:
            click.echo(f"        honest logins NOT within {SHARE:.0%} and {P99_MS} ms: {honest.failures[:3]}")
            run.failed |= honest.share < SHARE
        return outcome

    run.play(by_http)
    run.play(lambda: guessing.million_in_a_day(_home(folder, "day"), max(1000, guesses - done), 1000, 10_000)[0])


def _floods(run: Run, folder: Path, seconds: int) -> None:
    with _site(folder, "flood") as site:
        target: Target
        for addresses, connections in ((10, 200), (50_000, 200), (1_000_000, 1000)):
            target = site.target()
            run.play(
                lambda target=target, addresses=addresses, connections=connections: flood.flood(  # type: ignore[misc]
                    target, 20_000, seconds, connections, addresses, logins_a_second=4
                )[0]
            )
        run.play(lambda: behind.few_rows(site))


def _times(folder: Path, each: int = 2000) -> Outcome:
    inside = times.in_process(_home(folder, "times"), each)
    click.echo(f"in process\n{times.shown(inside)}")
    with _site(folder, "times over http", **NO_LIMITS_HERE) as site:
        outside = times.over_http(site, each)
    click.echo(f"over HTTP\n{times.shown(outside)}")
    worst = {
        where: max(times.told(one).values()) for where, one in (("in process", inside), ("over HTTP", outside))
    }
    through = len(times.worth_hearing(inside))
    through += sum(distance > times.NEGLIGIBLE for distance in times.told(outside).values())
    note = ", ".join(f"{where} at most {distance:.3f} from one half" for where, distance in worst.items())
    return Outcome(
        ENUMERATION, "times of 4 verbs for phones unknown, active, blocked", each * 3 * 4 * 2, through, note
    )


if __name__ == "__main__":
    main()
