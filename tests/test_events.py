"""Following the store's events where they become visible out of order, as with many writers on PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.events import AT_ONCE, LOOK_BACK, PATIENCE_MS, Events
from gateway.store import Store, open_store
from tests.world import TestClock


class Writer:
    """Makes events visible in any order of their numbers."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, *numbers: int) -> None:
        database = sqlite3.connect(self._path)
        with database:
            database.executemany(
                "INSERT INTO event VALUES (?, ?, 0)", [(number, f"session {number}") for number in numbers]
            )
        database.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def writer(store: Store, tmp_path: Path) -> Writer:
    return Writer(tmp_path / "store.sqlite3")


def named(*numbers: int) -> list[str]:
    return [f"session {number}" for number in numbers]


def test_what_was_committed_later_under_a_lower_number_is_told(store: Store, writer: Writer) -> None:
    events = Events(store, TestClock())
    writer.write(1, 2, 6)
    assert events.new() == named(1, 2, 6)
    assert events.new() == []
    writer.write(4)
    assert events.new() == named(4)
    writer.write(3, 5, 7)
    assert events.new() == named(3, 5, 7)
    assert events.new() == []


def test_a_transaction_that_was_open_at_the_start_is_told_and_nothing_older(store: Store, writer: Writer) -> None:
    writer.write(1, 2, 4)
    events = Events(store, TestClock())
    assert events.new() == []
    writer.write(3)
    assert events.new() == named(3)


def test_a_number_that_was_rolled_back_is_given_up(store: Store, writer: Writer) -> None:
    clock = TestClock()
    events = Events(store, clock)
    writer.write(1, 3)
    assert events.new() == named(1, 3)
    clock.pass_seconds(PATIENCE_MS / 1000 - 1)
    assert events.new() == []
    writer.write(2)
    assert events.new() == named(2)
    writer.write(5)
    assert events.new() == named(5)
    clock.pass_seconds(PATIENCE_MS / 1000 + 1)
    assert events.new() == []
    writer.write(4)
    assert events.new() == []


def test_more_than_one_statement_reads_are_all_told(store: Store, writer: Writer) -> None:
    events = Events(store, TestClock())
    most = 2 * AT_ONCE + 500
    writer.write(*(number for number in range(1, most) if number != 700))
    assert events.new() == named(*(number for number in range(1, most) if number != 700))
    writer.write(700)
    assert events.new() == named(700)


def test_a_leap_of_the_numbers_is_not_asked_for_one_by_one(store: Store, writer: Writer) -> None:
    events = Events(store, TestClock())
    writer.write(1, 10_000_000)
    assert events.new() == named(1, 10_000_000)
    writer.write(10_000_000 - LOOK_BACK)
    assert events.new() == named(10_000_000 - LOOK_BACK)
