"""What is written to the log."""

import logging

from gateway.log import make_formatter


def test_a_bots_token_in_an_address_is_masked() -> None:
    """Errors of the network name the address, and the Bot API's addresses hold the token."""
    text = "Can not write request body for http://127.0.0.1:8002/bot123456:AAE-x_9/getUpdates"
    record = logging.LogRecord("x", logging.WARNING, "", 0, "away: %s", (text,), None)
    assert make_formatter("bot").format(record).endswith("/bot123456:•••/getUpdates")
