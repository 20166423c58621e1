"""What is written to the log."""

import logging

import pytest

from gateway.log import RETOLD_SECONDS, _Seldom, make_formatter


def test_a_bots_token_in_an_address_is_masked() -> None:
    """Errors of the network name the address, and the Bot API's addresses hold the token."""
    text = "Can not write request body for http://127.0.0.1:8002/bot123456:AAE-x_9/getUpdates"
    record = logging.LogRecord("x", logging.WARNING, "", 0, "away: %s", (text,), None)
    assert make_formatter("bot").format(record).endswith("/bot123456:•••/getUpdates")


def test_that_the_store_is_away_is_told_now_and_then_by_each_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("gateway.log.time.monotonic", lambda: now[0])
    seldom = _Seldom()

    def told(name: str, message: str) -> bool:
        return bool(seldom.filter(logging.LogRecord(name, logging.WARNING, "", 0, message, ("why",), None)))

    waits = "the store is busy, delivery waits: %s"
    assert [told("gateway.delivery", waits) for _ in range(3)] == [True, False, False]
    assert told("gateway.leases", "the store is busy, the lease is not renewed: %s")
    assert [told("web.api", "%s: the store is busy") for _ in range(2)] == [True, True], "a request's is its own"
    now[0] += RETOLD_SECONDS
    assert [told("gateway.delivery", waits) for _ in range(2)] == [True, False]
