import pytest

from gateway.contact import Contact, parse_contact, parse_telegram_phone
from gateway.errors import BadRequest


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
