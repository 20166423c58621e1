"""One of many processes does what only one shall: leases as their holders see them, on a real store."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.leases import Lease
from gateway.store import open_store
from tests.world import TestClock


def held(lease: Lease) -> bool:
    return asyncio.run(lease.held())


def test_another_takes_over_once_the_holder_is_silent_and_the_holder_learns_it(tmp_path: Path) -> None:
    store, clock = open_store(f"sqlite:///{tmp_path}/store.sqlite3"), TestClock()
    store.migrate()
    one, two = (Lease(store, clock, "poll 1", 15) for _ in range(2))
    assert held(one)
    assert not held(two)
    for _ in range(10):
        clock.pass_seconds(5)
        assert held(one), "renewed in time"
        assert not held(two)
    clock.pass_seconds(15)
    assert held(two)
    assert not held(one), "it slept for too long"
    two.let_go()
    clock.pass_seconds(1)
    assert held(one), "let go of, it need not run out"
    store.close()


def test_a_busy_store_takes_no_lease_away_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.sqlite_connections.BUSY_TIMEOUT_MS", 50)
    store, clock = open_store(f"sqlite:///{tmp_path}/store.sqlite3"), TestClock()
    store.migrate()
    lease = Lease(store, clock, "poll 1", 15)
    assert held(lease)
    other = sqlite3.connect(tmp_path / "store.sqlite3")
    other.execute("BEGIN IMMEDIATE")
    clock.pass_seconds(10)
    assert held(lease)
    clock.pass_seconds(6)
    assert not held(lease)
    other.rollback()
    other.close()
    assert held(lease)
    store.close()
