import hmac
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from gateway.codes import DIGITS, LETTERS_AND_DIGITS, alphabet, derive_code, read_code
from gateway.errors import BadRequest
from gateway.ids import lowest_ulid, new_ulid
from gateway.keyed import keyed_hash

KEY = b"k" * 32
SESSION = "01K8N1VMPN0EE389K72YW0CBM2"


def test_the_code_is_the_truncated_hmac_of_the_session() -> None:
    """RFC 4226, 5.3, done here by hand."""
    digest = hmac.new(KEY, SESSION.encode(), "sha256").digest()
    offset = digest[31] % 16
    number = int.from_bytes(digest[offset : offset + 8], "big") % 2**63
    expected = ""
    for _ in range(6):
        expected += str(number % 10)
        number //= 10
    assert derive_code(KEY, SESSION, DIGITS, 6) == expected


def test_another_key_or_session_has_another_code() -> None:
    codes = {derive_code(bytes([number]) * 32, SESSION, DIGITS, 6) for number in range(50)}
    codes |= {derive_code(KEY, f"{number:026d}", DIGITS, 6) for number in range(50)}
    assert len(codes) > 98


def test_every_digit_is_as_likely_as_the_others() -> None:
    drawn = Counter("".join(derive_code(KEY, str(number), DIGITS, 6) for number in range(20_000)))
    assert all(abs(drawn[digit] - 12_000) < 600 for digit in DIGITS)


def test_letters_leave_out_what_is_misread() -> None:
    assert not set("IO01") & set(alphabet(digits=True, letters=True))
    assert alphabet(digits=True, letters=False) == DIGITS
    assert set(derive_code(KEY, SESSION, LETTERS_AND_DIGITS, 6)) <= set(LETTERS_AND_DIGITS)


@pytest.mark.parametrize(
    ("entered", "code"),
    [
        ("007032", "007032"),
        (7032, "007032"),
        (0, "000000"),
        (" 12 34-56 ", "123456"),
        ("abc234", "ABC234"),
        ("１２３４５６", "123456"),
        ("١٢٣٤٥٦", "123456"),
        ("१२३ ४५६", "123456"),
        ("\u2068123\u2013456\u2069", "123456"),
    ],
)
def test_a_code_is_read_as_people_and_programs_enter_it(entered: object, code: str) -> None:
    assert code in read_code(entered)


def test_a_number_stands_for_a_code_of_each_length() -> None:
    assert read_code(7032) == ["7032", "07032", "007032"]
    assert read_code(123456) == ["123456"]
    assert read_code("7032") == ["7032"]


@pytest.mark.parametrize(
    "entered", ["", " ", "123", "1234567", "12.456", "ё23456", "1" * 100, -1, 10**6, 1.5, True, None, [], {}]
)
def test_what_is_no_code_is_refused_by_name(entered: object) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_code(entered)
    assert refusal.value.field == "code"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_keyed_hash_is_hmac(key: bytes, message: bytes) -> None:
    assert keyed_hash(key, message) == hmac.digest(key, message, "sha256")


@given(st.integers(0, 2**48 - 1))
def test_our_ids_are_ulids(now: int) -> None:
    """python-ulid reads them, at the millisecond that they were made."""
    one, other = (ULID.from_str(new_ulid(now)) for _ in range(2))
    assert int.from_bytes(one.bytes[:6]) == int.from_bytes(other.bytes[:6]) == now
    assert one != other
    assert ULID.from_str(lowest_ulid(now)).bytes == now.to_bytes(6) + bytes(10)
