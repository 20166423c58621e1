"""What is taken for a plain number is just what phonenumbers would have answered."""

import random
from collections.abc import Iterator

import phonenumbers
import pytest

from gateway.e164 import calling_code, is_plain

EACH = 20  # numbers made from each example, of which there are about a thousand


def judged(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def examples() -> Iterator[str]:
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            for kind in phonenumbers.PhoneNumberType.values():
                number = (
                    phonenumbers.example_number_for_non_geo_entity(code)
                    if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
                    else phonenumbers.example_number_for_type(region, kind)
                )
                if number:
                    yield f"+{code}{phonenumbers.national_significant_number(number)}"


def varied(example: str, chance: random.Random) -> str:
    """The number with another end, a digit more or less, or other digits throughout."""
    kept = chance.randrange(4, len(example) + 1)
    return example[:kept] + "".join(
        chance.choices("0123456789", k=max(0, len(example) - kept + chance.choice((-1, 0, 0, 0, 1))))
    )


def test_a_number_that_is_plain_is_one_that_phonenumbers_leaves_as_it_is() -> None:
    chance, plain, valid = random.Random(2026), 0, 0
    for example in set(examples()):
        for text in (example, *(varied(example, chance) for _ in range(EACH))):
            answer = judged(text)
            valid += answer is not None
            if is_plain(text):
                plain += 1
                assert answer == text
    assert plain > 0.9 * valid > 5000  # most go this way, or it would be of no use


@pytest.mark.parametrize(
    "text", ["", "+", "79522966236", "+7 952 296-62-36", "+0952296623", "+٧٩٥٢٢٩٦٦٢٣٦", "+79522966236\n"]
)
def test_whatever_is_not_written_in_e164_is_not_plain(text: str) -> None:
    assert not is_plain(text)


@pytest.mark.parametrize(
    ("number", "code"), [("+79522966236", 7), ("+380501234567", 380), ("+999123", 0), ("+2", 0)]
)
def test_a_number_begins_with_its_calling_code(number: str, code: int) -> None:
    assert calling_code(number) == code
