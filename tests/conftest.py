"""Fixtures that all tests share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.local import LocalGateway
from gateway.settings import Settings
from tests.databases import CURRENT, Database
from tests.postgres import PostgresServer
from tests.servers import Servers
from tests.world import World, make_world


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In CI a skipped test is a failed one: something that it needs is missing."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], PostgresServer]]:
    """The session's PostgreSQL server, started when first asked for."""
    running: list[PostgresServer] = []

    def server() -> PostgresServer:
        if not running:
            running.append(PostgresServer().__enter__())
        return running[0]

    yield server
    for one in running:
        one.__exit__()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, postgres: Callable[[], PostgresServer]) -> Iterator[Database]:
    """The test runs once on each store: what it makes by `make_world` lies there."""
    chosen = Database(postgres if request.param == "postgres" else None)
    CURRENT.append(chosen)
    yield chosen
    CURRENT.pop()
    chosen.close()


@pytest.fixture
def world(tmp_path: Path, database: Database) -> World:
    """A gateway on a database of its own, with a clock that the test turns."""
    return make_world(tmp_path)


@pytest.fixture
def gateway(world: World) -> LocalGateway:
    return world.gateway


@pytest.fixture
def settings(world: World) -> Settings:
    return world.settings


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """web (two workers), bot and sandbox as real processes, shared by the tests; each uses phones of its own."""
    with Servers(tmp_path_factory.mktemp("servers"), WEB_WORKERS="2") as running:
        yield running
