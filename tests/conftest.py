"""Fixtures that all tests share, and the rules of a run, however many processes share it."""

import logging
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.files import open_as_many_as_allowed
from gateway.local import LocalGateway
from gateway.settings import Settings
from tests.databases import Database, chosen
from tests.figures import Figure, figure_of, tell_figures
from tests.leaks import METRICS_TOKEN, Listener, leaks_below
from tests.postgres import PostgresServer
from tests.servers import Servers
from tests.turns import Turns
from tests.world import World, make_world

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
_TURNS = pytest.StashKey[Turns]()


def pytest_configure(config: pytest.Config) -> None:
    """One folder of locks for a run: the process that begins it hands it to the others."""
    open_as_many_as_allowed()
    if given := getattr(config, "workerinput", {}).get("locks"):
        config.stash[_TURNS] = Turns(Path(given))
        return
    folder = tempfile.TemporaryDirectory(prefix="kodgate-tests-")
    config.add_cleanup(folder.cleanup)
    config.stash[_TURNS] = Turns(Path(folder.name))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["locks"] = str(node.config.stash[_TURNS].folder)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside pytest-timeout's: nobody's time runs while they wait
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    with item.config.stash[_TURNS].taken(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _fail_what_is_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _fail_what_is_skipped((yield))


def _fail_what_is_skipped(report: Report) -> Report:
    """In CI a skipped test is a failed one: something that it needs is missing."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tell_figures(terminalreporter)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Takes a line about what the test has measured."""
    return figure_of(request.node)


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
    with chosen(request.param, postgres) as database:
        yield database


@pytest.fixture(scope="session", autouse=True)
def _nothing_secret_is_written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of a whole run: what is found fails its last test. With several runners each looks at what it ran.

    Torn down behind every server; those look for their own codes when they end (tests/servers.py).
    """
    listener = Listener()
    logging.getLogger().addHandler(listener)
    yield
    logging.getLogger().removeHandler(listener)
    found = [*listener.found, *leaks_below(tmp_path_factory.getbasetemp())]
    assert not found, "\n".join(found[:50])


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
    with Servers(tmp_path_factory.mktemp("servers"), WEB_WORKERS="2", METRICS_TOKEN=METRICS_TOKEN) as running:
        yield running
