import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contact import Contact, parse_contact, parse_telegram_phone
from gateway.errors import BadRequest
from gateway.phones import WrongLength


@pytest.mark.parametrize(
    "typed",
    ["+79522966236", "+7 952 296-62-36", " +7 (952) 296 62 36 ", "+7 952 296‑62‑36", "+7.952.296.62.36"],
)
def test_a_phone_is_read_as_people_write_it(typed: str) -> None:
    assert parse_contact(typed) == Contact("phone", "+79522966236")


@pytest.mark.parametrize("typed", ["8 952 296-62-36", "952 296 62 36", "79522966236"])
def test_a_national_number_needs_a_country(typed: str) -> None:
    assert parse_contact(typed, region="RU").value == "+79522966236"
    with pytest.raises(BadRequest):
        parse_contact(typed)


@pytest.mark.parametrize(
    ("region", "typed", "value"),
    [
        ("RU", "Телефон: 8 (952) 296-62-36 доб.", "+79522966236"),
        ("RU", "tel:+49 (0)151 23456789", "+4915123456789"),
        ("DE", "00 7 952 296 62 36", "+79522966236"),
        ("RU", "+7 952 005-48-71", "+79520054871"),
        ("RU", "8 (952) 005-48-71", "+79520054871"),
        ("DE", "1. 0049 1512 3456789", "+4915123456789"),
        ("RU", "٠٠٧٩٥٢٢٩٦٦٢٣٦", "+79522966236"),
        ("RU", "＋７　９５２ ２９６－６２－３６", "+79522966236"),
        ("RU", "+8 952 296-62-36", "+79522966236"),
        ("RU", "998 91 234 56 78", "+998912345678"),
        ("KZ", "8 771 000 9998", "+77710009998"),
        ("UZ", "91 234 56 78", "+998912345678"),
        ("UA", "050 123 4567", "+380501234567"),
        ("DE", "0151 23456789", "+4915123456789"),
        ("DE", "030 901820", "+4930901820"),
        ("ES", "612 34 56 78", "+34612345678"),
        ("TR", "0501 234 56 78", "+905012345678"),
        ("US", "(201) 555-0123", "+12015550123"),
        ("US", "1 201 555 0123", "+12015550123"),
        ("GB", "07400 123456", "+447400123456"),
        ("IT", "06 1234 5678", "+390612345678"),
        ("IT", "312 345 6789", "+393123456789"),
        ("AR", "011 15-2345-6789", "+5491123456789"),
        ("BR", "(11) 96123-4567", "+5511961234567"),
        ("JP", "090-1234-5678", "+819012345678"),
        ("IN", "081234 56789", "+918123456789"),
    ],
)
def test_with_a_country_a_number_is_read_as_people_there_write_it(region: str, typed: str, value: str) -> None:
    assert parse_contact(typed, region=region).value == value


SHORT_1 = "is 1 digit short"


@pytest.mark.parametrize(
    ("region", "typed", "why"),
    [
        ("RU", "8 952 296-62-3", f"{SHORT_1}: it should look like +7 912 345-67-89"),
        ("RU", "812 123-45-6", f"{SHORT_1}: it should look like +7 912 345-67-89"),
        ("RU", "+7 952", "is 7 digits short: it should look like +7 912 345-67-89"),
        ("RU", "952 296-62-366", "is 1 digit too long: it should look like +7 912 345-67-89"),
        (
            "RU",
            "8 252 296-62-36",
            "is not a number that exists: check its digits, it should look like +7 912 345-67-89",
        ),
        ("RU", "hello", "must be written in digits, like +7 912 345-67-89"),
        ("US", "1-800-FLOWERS", "must be written in digits, like +1 201-555-0123"),
        ("RU", "+", "is not a phone number with a country code, such as +7 952 296-62-36"),
        ("RU", "+979 123 45", "must begin with a country’s code, and +979 is none"),
        ("KZ", "771 000 999", f"{SHORT_1}: it should look like +7 771 000 9998"),
        ("UZ", "91 234 56 7", f"{SHORT_1}: it should look like +998 91 234 56 78"),
        ("UA", "050 123 456", f"{SHORT_1}: it should look like +380 50 123 4567"),
        ("DE", "0151 2345", "is 3 digits short: it should look like +49 1512 3456789"),
        ("RU", "+49 151 2345", "is 3 digits short: it should look like +49 1512 3456789"),
        ("ES", "612 34 56", "is 2 digits short: it should look like +34 612 34 56 78"),
        ("TR", "0501 234 56 7", f"{SHORT_1}: it should look like +90 501 234 56 78"),
        ("US", "(201) 555-01234", "is 1 digit too long: it should look like +1 201-555-0123"),
        ("GB", "07400 12345", f"{SHORT_1}: it should look like +44 7400 123456"),
        ("IT", "312 345 67", f"{SHORT_1}: it should look like +39 312 345 6789"),
        ("AR", "+54 9 11 2345 678", f"{SHORT_1}: it should look like +54 9 11 2345-6789"),
        ("BR", "(11) 96123-456", f"{SHORT_1}: it should look like +55 11 96123-4567"),
        ("JP", "090-1234-567", f"{SHORT_1}: it should look like +81 90-1234-5678"),
        ("IN", "81234 5678", f"{SHORT_1}: it should look like +91 81234 56789"),
        (None, "+7952296623", f"{SHORT_1}: it should look like +7 912 345-67-89"),
        (None, "+99999999999", "must begin with a country’s code, and +999 is none"),
        (None, "+7952296623x", "is not a phone number with a country code, such as +7 952 296-62-36"),
    ],
)
def test_a_refusal_says_what_to_mend(region: str | None, typed: str, why: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_contact(typed, region=region)
    assert (refusal.value.field, refusal.value.why("en")) == ("to", why)


def test_one_digit_too_many_is_never_a_number_elsewhere() -> None:
    """(201) 555-01234 would be one in Egypt: a slip of the finger must not send the code to a stranger."""
    for region, typed in (("US", "(201) 555-01234"), ("RU", "952 296-62-366"), ("ES", "612 34 56 789")):
        with pytest.raises(WrongLength):
            parse_contact(typed, region=region)


@given(st.text(max_size=40), st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
def test_whatever_is_typed_is_a_number_or_a_refusal(typed: str, region: str) -> None:
    try:
        value = parse_contact(typed, region=region).value
    except BadRequest:
        return
    assert "@" in value or re.fullmatch(r"\+\d{5,15}", value)


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        (" a.b+tag@mail.example.org ", "a.b+tag@mail.example.org"),
        ("ivan@почта.рф", "ivan@xn--80a1acny.xn--p1ai"),
    ],
)
def test_an_email_has_one_form(typed: str, value: str) -> None:
    assert parse_contact(typed) == Contact("email", value)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "+",
        "+1",
        "+7952296623",
        "+99999999999",
        "hello",
        "+7952296623x",
        "+7 952 296-62-36 ext. 5",
        "@example.com",
        "a@b",
        "a b@example.com",
        "a@example..com",
        "a..b@example.com",
        ".a@example.com",
        "a@-example.com",
        "a@example.com\nBcc: b@example.com",
        "+" + "7" * 300,
        "a" * 250 + "@example.com",
        None,
        7952,
        ["+79522966236"],
        {"phone": "+79522966236"},
        True,
    ],
)
def test_what_is_neither_is_refused_by_name(typed: object) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_contact(typed)
    assert refusal.value.field == "to"
    assert refusal.value.why("ru") != refusal.value.why("en")


@pytest.mark.parametrize("digits", ["79522966236", "+79522966236", " 79522966236"])
def test_telegram_gives_numbers_with_or_without_a_plus(digits: str) -> None:
    assert parse_telegram_phone(digits).value == "+79522966236"


def test_a_mask_shows_little() -> None:
    assert parse_contact("+79522966236").mask.replace("\u00a0", " ") == "+7 ••• ••• 36"
    assert parse_contact("ann@example.com").mask == "a•••@example.com"


def test_a_phone_knows_its_country() -> None:
    assert parse_contact("+79522966236").country == "RU"
    assert parse_contact("+442079460018").country == "GB"
    assert parse_contact("ann@example.com").country == ""
