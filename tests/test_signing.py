"""Signatures: what is ours, and what only looks so."""

import pytest

from gateway.signing import OLDEST, is_signed, sign

KEY = b"k" * 32
BODY = '{"to":"я"}'.encode()
AT = 1_800_000_000


def test_what_was_signed_is_signed() -> None:
    for later in (0, OLDEST, -OLDEST):
        assert is_signed(sign(BODY, KEY, AT), BODY, KEY, AT + later)


def test_leading_zeros_make_another_header() -> None:
    assert not is_signed(sign(BODY, KEY, AT).replace("t=", "t=0"), BODY, KEY, AT)


def test_another_body_key_or_time_is_not() -> None:
    header = sign(BODY, KEY, AT)
    assert not is_signed(header, BODY + b" ", KEY, AT)
    assert not is_signed(header, BODY, b"x" * 32, AT)
    assert not is_signed(header, BODY, KEY, AT + OLDEST + 1)
    assert not is_signed(header, BODY, KEY, AT - OLDEST - 1)
    assert not is_signed(header.replace(str(AT), str(AT + 1)), BODY, KEY, AT)


@pytest.mark.parametrize(
    "header", ["", "t=,v1=", "t=1", "v1=" + "a" * 64, "t=²,v1=" + "a" * 64, "t=1,v1=é", "t=" + "9" * 5000, "\n"]
)
def test_nonsense_is_not(header: str) -> None:
    assert not is_signed(header, BODY, KEY, AT)
