"""What create and check cost on each store, all limits on, sending off: `python -m bench.stores`.

In this process, without HTTP: CPU of the caller, and of every process of a PostgreSQL server of our own.
The stores take turns, so that a busy machine is busy for both.
"""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from bench.limits import NO_LIMITS_HERE
from bench.processes import SECRET
from gateway.bootstrap import build_gateway
from gateway.codes import DIGITS, derive_code
from gateway.contact import Contact
from gateway.local import LocalGateway
from gateway.settings import Settings
from gateway.verbs import Caller
from tests.postgres import PostgresServer

PHONES = 9_000_000
DURABLE = {"fsync": "on", "full_page_writes": "on"}


@dataclass
class Cost:
    """Microseconds of CPU, summed up: the caller's and the server's, of create and of check."""

    create: list[float] = field(default_factory=lambda: [0.0, 0.0])
    check: list[float] = field(default_factory=lambda: [0.0, 0.0])


@click.command()
@click.option("--logins", default=2000, show_default=True, help="of each store in each round")
@click.option("--rounds", default=3, show_default=True, help="the first one is not counted")
def main(logins: int, rounds: int) -> None:
    """Print a line for each store."""
    with tempfile.TemporaryDirectory() as name, PostgresServer(**DURABLE) as server:
        stores = {
            "sqlite": (_gateway(f"sqlite:///{Path(name)}/bench.sqlite3"), None),
            "postgresql": (_gateway(server.empty_database()), server.pid),
        }
        costs = {store: Cost() for store in stores}
        for number in range(rounds):
            for store, (gateway, pid) in stores.items():
                cost = costs[store] if number else Cost()
                _log_in(gateway, pid, PHONES + number * logins, logins, cost)
        for gateway, _ in stores.values():
            gateway.close()
    total = logins * (rounds - 1)
    click.echo("CPU µs: create (caller + server)   check (caller + server)   both, ms")
    for store, cost in costs.items():
        create, check = ([value / total for value in values] for values in (cost.create, cost.check))
        both = (sum(create) + sum(check)) / 1000
        click.echo(
            f"{store:<12}{create[0]:>9.0f} + {create[1]:<10.0f}{check[0]:>13.0f} + {check[1]:<10.0f}{both:>9.3f}"
        )


def _gateway(url: str) -> LocalGateway:
    limits: dict[str, Any] = {name.lower(): rate for name, rate in NO_LIMITS_HERE.items()}
    return build_gateway(
        Settings(
            _env_file=None,
            database_url=url,
            secret_keys=(SECRET,),
            sms_url="webhook+http://127.0.0.1:9/",
            project_public_key="pk_bench",
            project_secret_key="sk_bench",
            **limits,
        )
    )


def _log_in(gateway: LocalGateway, pid: int | None, first: int, count: int, cost: Cost) -> None:
    project, secret = gateway.authenticate("pk_bench")
    caller = Caller(project, secret, address="192.0.2.1", browser_key="b" * 22)
    key = gateway.keyring.first.code
    before = _now(pid)
    sessions = [
        gateway.create(caller, Contact("phone", f"+7952{first + number}"), send=False) for number in range(count)
    ]
    between = _now(pid)
    codes = [(one.session_id, derive_code(key, one.session_id, DIGITS, 6)) for one in sessions]
    began = _now(pid)
    for session_id, code in codes:
        gateway.check(caller, session_id, code)
    after = _now(pid)
    for place in (0, 1):
        cost.create[place] += between[place] - before[place]
        cost.check[place] += after[place] - began[place]


def _now(pid: int | None) -> tuple[float, float]:
    """CPU µs so far: this process's, and the server's with its children, as the scheduler counts them."""
    own = time.process_time() * 1e6
    if pid is None:
        return own, 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    run = [int(Path(f"/proc/{one}/schedstat").read_text().split()[0]) for one in (str(pid), *children)]
    return own, sum(run) / 1000


if __name__ == "__main__":
    main()
