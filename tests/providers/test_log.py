"""log://: a line in development, nothing in production."""

import logging

import msgspec
import pytest

from gateway.channels import Channel
from gateway.providers import PermanentError, WrongProviderUrl, make_provider
from tests.providers.contract import MESSAGE, checked, options, run_with


@pytest.mark.parametrize(
    ("to", "channel", "mask"),
    [
        ("+79522966236", Channel.SMS, "+7\u00a0•••\u00a0•••\u00a036"),
        ("ann@example.com", Channel.EMAIL, "a•••@example.com"),
    ],
)
def test_one_line_with_the_channel_the_masked_contact_and_the_code(
    to: str, channel: Channel, mask: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run_with(
            make_provider("log://", channel, options()), msgspec.structs.replace(MESSAGE, to=to, channel=channel)
        )
    [record] = [one for one in caplog.records if one.name == "gateway.providers.log"]
    assert record.levelno == logging.INFO
    assert record.getMessage() == f"by {channel} to {mask}: 482173"


def test_a_contact_that_is_none_is_final() -> None:
    with pytest.raises(PermanentError):
        run_with(make_provider("log://", Channel.SMS, options()), msgspec.structs.replace(MESSAGE, to="nobody"))


def test_it_is_always_there() -> None:
    assert "log" in checked(make_provider("log://", Channel.SMS, options()))


def test_production_refuses_it() -> None:
    with pytest.raises(WrongProviderUrl, match="development"):
        make_provider("log://", Channel.SMS, options(production=True))


@pytest.mark.parametrize("url", ["log://somewhere", "log:///var/log/codes", "log:"])
def test_it_goes_nowhere_else(url: str) -> None:
    with pytest.raises(WrongProviderUrl, match="log://"):
        make_provider(url, Channel.SMS, options())
