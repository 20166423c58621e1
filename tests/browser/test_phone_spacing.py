"""Numbers are spaced in the browser as `phonenumbers` spaces them, for every country there is."""

import re
from typing import Any

import msgspec
import phonenumbers
from phonenumbers import AsYouTypeFormatter, PhoneNumberFormat

from gateway.phones import example_mobile
from web import countries

from .conftest import Visits
from .people import DESKTOP

# Of no known spacing: phonenumbers says +24740123 as it is typed and +247 40123 afterwards, the field the latter.
UNSPACED = {"AC", "FK", "GI", "KI", "SH", "TA", "TK"}

# A field for each country in turn, in the page's own form, and what it then makes of each text put into it.
PUT_IN = """(cases) => cases.map(({ region, plan, typed }) => {
  const form = document.querySelector("form");
  const fresh = form.cloneNode(true);
  const box = fresh.querySelector(".phone");
  delete box.dataset.ready;
  box.dataset.plan = plan;
  box.dataset.zones = "";
  fresh.elements.region.value = region;
  fresh.elements.to.value = "";
  form.replaceWith(fresh);
  document.dispatchEvent(new Event("kodgate:step"));
  const field = fresh.elements.to;
  return typed.map((text) => {
    field.value = text;
    field.dispatchEvent(new InputEvent("input"));
    return field.value;
  });
})"""


def as_you_type(region: str, digits: str) -> str:
    formatter = AsYouTypeFormatter(region)
    return [formatter.input_digit(digit) for digit in digits][-1].strip()


def spaced(visits: Visits, typed: dict[str, list[str]]) -> dict[str, list[str]]:
    """What the field makes of the texts, by country."""
    visitor = visits.visitor(DESKTOP)
    visitor.begins()
    visitor.contact.wait_for()
    cases: list[dict[str, Any]] = [
        {
            "region": region,
            "plan": msgspec.json.encode(countries.plan(countries.calling_code(region), "en")).decode(),
            "typed": texts,
        }
        for region, texts in typed.items()
    ]
    return dict(zip(typed, visitor.page.evaluate(PUT_IN, cases), strict=True))


def examples(form: int) -> dict[str, str]:
    """An example of each country's numbers, its digits only, and the plus."""
    numbers = {region: example_mobile(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)}
    written = {region: phonenumbers.format_number(number, form) for region, number in numbers.items() if number}
    return {region: re.sub(r"[^\d+]", "", text) for region, text in written.items()}


def test_a_number_for_the_whole_world_is_spaced_digit_by_digit_as_phonenumbers_does(visits: Visits) -> None:
    whole = examples(PhoneNumberFormat.E164)
    typed = {region: [text[:length] for length in range(1, len(text) + 1)] for region, text in whole.items()}
    found = spaced(visits, typed)
    differs = {
        region for region, texts in typed.items() if found[region] != [as_you_type(region, text) for text in texts]
    }
    assert len(typed) == len(phonenumbers.SUPPORTED_REGIONS)
    assert differs == UNSPACED
    for region in UNSPACED:
        assert found[region][-1] == countries.example(region)


def test_a_number_typed_at_home_is_spaced_as_phonenumbers_does(visits: Visits) -> None:
    typed = examples(PhoneNumberFormat.NATIONAL)
    found = spaced(visits, {region: [text] for region, text in typed.items()})
    differs = {region for region, text in typed.items() if found[region] != [as_you_type(region, text)]}
    assert differs == {"AR"}
    # phonenumbers says 01115 2345 67-89 and nobody there does; what cannot be spaced well is left as it is.
    assert found["AR"] == ["0" + "11" + "15" + "23456789"]


def test_a_trunk_prefix_may_be_left_out_or_typed(visits: Visits) -> None:
    typed = {
        "RU": ["9522966236", "89522966236", "79522966236", "7952"],
        "DE": ["15123456789", "015123456789"],
        "US": ["2015550123", "12015550123"],
        "IT": ["3123456789", "0612345678"],
        "BY": ["294911911", "80294911911"],
    }
    assert spaced(visits, typed) == {
        "RU": ["952 296-62-36", "8 952 296-62-36", "7 952 296-62-36", "795 2"],
        "DE": ["1512 3456789", "01512 3456789"],
        "US": ["(201) 555-0123", "1 (201) 555-0123"],
        "IT": ["312 345 6789", "06 1234 5678"],
        "BY": ["29 491-19-11", "80 29 491-19-11"],
    }
