"""The phone field, as fingers, keyboards, clipboards and browsers fill it in."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from .conftest import Visits, Watch
from .people import DESKTOP, DESKTOP_PLAIN, PHONE, Face, Visitor
from .stack import Stack

RUSSIA: dict[str, Any] = {"locale": "ru-RU", "timezone_id": "Europe/Moscow"}
GERMANY: dict[str, Any] = {"locale": "en-US", "timezone_id": "Europe/Berlin"}


def at_the_field(visits: Visits, face: Face = DESKTOP, **options: Any) -> Visitor:
    visitor = visits.visitor(face, **(options or RUSSIA))
    visitor.begins()
    if face.script:
        expect(visitor.contact).to_be_focused()
    return visitor


def marked(field: Locator) -> str:
    """What stands in the field, with `|` at the caret."""
    value, caret = field.evaluate("(field) => [field.value, field.selectionStart]")
    return f"{value[:caret]}|{value[caret:]}"


def country(page: Page) -> str:
    return " ".join(page.locator("#country > span:not(.unseen)").all_inner_texts())


def put_caret(field: Locator, mark: str) -> None:
    field.evaluate("(field, at) => field.setSelectionRange(at, at)", mark.index("|"))


def paste(page: Page, text: str) -> None:
    page.locator("#to").evaluate(
        """(field, text) => {
          const clipboardData = new DataTransfer();
          clipboardData.setData("text/plain", text);
          field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }""",
        text,
    )


# Typing


def test_spaces_come_as_one_types(visits: Visits) -> None:
    visitor = at_the_field(visits)
    seen = []
    for digit in "89522966236":
        visitor.page.keyboard.type(digit)
        seen.append(marked(visitor.contact))
    assert seen[3:] == [
        "8 952|",
        "8 952 2|",
        "8 952 29|",
        "8 952 296|",
        "8 952 296-6|",
        "8 952 296-62|",
        "8 952 296-62-3|",
        "8 952 296-62-36|",
    ]


@pytest.mark.parametrize(
    ("at", "key", "then"),
    [
        ("952 2|96-62-36", "7", "95227|96 62 36"),
        ("952 296|-62-36", "Backspace", "952 29|6-23-6"),
        ("952 |296-62-36", "Backspace", "95|2 966-23-6"),
        ("952| 296-62-36", "Delete", "952 |966-23-6"),
        ("952 296-62-36|", "Backspace", "952 296-62-3|"),
        ("|952 296-62-36", "Delete", "|522 966-23-6"),
        ("|952 296-62-36", "8", "8| 952 296-62-36"),
        ("952 296|-62-36", "x", "952 296x|-62-36"),
    ],
)
def test_the_caret_stays_where_one_mends(visits: Visits, at: str, key: str, then: str) -> None:
    visitor = at_the_field(visits)
    visitor.page.keyboard.type("9522966236")
    expect(visitor.contact).to_have_value("952 296-62-36")
    put_caret(visitor.contact, at)
    visitor.page.keyboard.press(key)
    digits = re.sub(r"[^\dx|]", "", marked(visitor.contact))
    assert digits == re.sub(r"[^\dx|]", "", then)


def test_a_whole_number_can_be_taken_away_key_by_key(visits: Visits) -> None:
    visitor = at_the_field(visits)
    visitor.page.keyboard.type("+4915123456789")
    expect(visitor.contact).to_have_value("+49 1512 3456789")
    for left in range(13, -1, -1):
        visitor.page.keyboard.press("Backspace")
        assert len(re.sub(r"[^\d+]", "", visitor.contact.input_value())) == left
    expect(visitor.contact).to_have_value("")


def test_undo_goes_back_and_redo_forth(visits: Visits) -> None:
    visitor = at_the_field(visits)
    visitor.page.keyboard.type("952296")
    paste(visitor.page, "+49 151 23456789")
    expect(visitor.contact).to_have_value("+49 1512 3456789")
    visitor.page.keyboard.press("Control+z")
    expect(visitor.contact).to_have_value("952 296")
    visitor.page.keyboard.press("Control+z")
    expect(visitor.contact).to_have_value("952 29")
    visitor.page.keyboard.press("Control+Shift+z")
    visitor.page.keyboard.press("Control+y")
    expect(visitor.contact).to_have_value("+49 1512 3456789")


def test_what_is_no_number_is_left_alone(visits: Visits) -> None:
    visitor = at_the_field(visits)
    visitor.page.keyboard.type("call 952-296 me")
    expect(visitor.contact).to_have_value("call 952-296 me")


def test_digits_of_every_script_are_understood(visits: Visits) -> None:
    visitor = at_the_field(visits)
    visitor.page.keyboard.insert_text("٩٥٢٢٩٦٦٢٣٦")
    expect(visitor.contact).to_have_value("952 296-62-36")
    visitor.contact.fill("＋４９１５１２３４５６７８９")
    expect(visitor.contact).to_have_value("+49 1512 3456789")


# The country


@pytest.mark.parametrize("typed", ["+4915123456789", "004915123456789"])
def test_a_number_of_another_country_switches_to_it(visits: Visits, typed: str) -> None:
    visitor = at_the_field(visits)
    assert country(visitor.page) == "RU +7"
    expect(visitor.contact).to_have_attribute("placeholder", "912 345-67-89")
    visitor.page.keyboard.type(typed)
    expect(visitor.contact).to_have_value("+49 1512 3456789")
    assert country(visitor.page) == "DE +49"
    expect(visitor.page.locator("[name=region]")).to_have_value("DE")


def test_countries_that_share_a_code_are_told_apart(visits: Visits) -> None:
    visitor = at_the_field(visits)
    visitor.contact.fill("+77710009998")
    assert country(visitor.page) == "KZ +7"
    visitor.contact.fill("+79522966236")
    assert country(visitor.page) == "RU +7"
    visitor.contact.fill("+12423591234")
    expect(visitor.page.locator("#country-iso")).to_have_text("BS")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"locale": "ru-RU", "timezone_id": "Europe/Samara"}, "RU +7"),
        ({"locale": "ru-RU", "timezone_id": "Asia/Tashkent"}, "UZ +998"),
        ({"locale": "en-US", "timezone_id": "Asia/Calcutta"}, "IN +91"),
        ({"locale": "de-AT", "timezone_id": "UTC"}, "AT +43"),
    ],
)
def test_the_clock_tells_the_country(visits: Visits, options: dict[str, Any], shown: str) -> None:
    visitor = at_the_field(visits, **options)
    expect(visitor.page.locator("#country-code")).to_have_text(shown.split()[1])
    assert country(visitor.page) == shown
    expect(visitor.page.locator("[name=time_zone]")).to_have_value(options["timezone_id"])


def test_a_better_guess_comes_too_late_for_who_has_typed(visits: Visits) -> None:
    visitor = visits.visitor(DESKTOP, locale="ru-RU", timezone_id="Asia/Tashkent")
    held: list[Route] = []
    visitor.page.route("**/zone/**", lambda route: held.append(route))
    visitor.begins()
    visitor.page.keyboard.type("952")
    held[0].continue_()
    visitor.page.wait_for_load_state("networkidle")
    visitor.page.keyboard.type("2966236")
    expect(visitor.contact).to_have_value("952 296-62-36")
    assert country(visitor.page) == "RU +7"


def test_a_countrys_spacing_that_comes_when_the_field_has_gone_is_no_error(
    visits: Visits, phone: str, watch: Watch
) -> None:
    visitor = visits.visitor(DESKTOP, **GERMANY)
    held: list[Route] = []
    visitor.page.route("**/widget/countries/**/7", lambda route: held.append(route))
    visitor.begins()
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")
    held[0].continue_()
    visitor.page.wait_for_load_state("networkidle")
    assert watch.complaints == []


def test_a_refusal_keeps_country_and_number(visits: Visits, watch: Watch) -> None:
    watch.expects(400)
    visitor = at_the_field(visits, **GERMANY)
    expect(visitor.page.locator("#country-iso")).to_have_text("DE")
    visitor.gives("0151 2345")
    expect(visitor.problem).to_have_text("This is 3 digits short: it should look like +49 1512 3456789.")
    expect(visitor.problem.locator("bdi[dir=ltr]")).to_have_text("+49 1512 3456789")
    expect(visitor.contact).to_have_value("01512 345")
    expect(visitor.contact).to_be_focused()
    assert country(visitor.page) == "DE +49"


# Clipboard and autofill


@pytest.mark.parametrize(
    ("copied", "shown"),
    [
        ("tel:+49 (0)151 23456789", "+49 1512 3456789"),
        ("Телефон: 8 (952) 296-62-36 доб.", "8 952 296-62-36"),
        ("8\u00a0952\u00a0296\u20116236", "8 952 296-62-36"),
        ("＋７９５２２９６６２３６", "+7 952 296-62-36"),
        ("٠٠٤٩١٥١٢٣٤٥٦٧٨٩", "+49 1512 3456789"),
        ("Room 12, +39 06 1234 5678, ask for Ann", "+39 06 1234 5678"),
        ("tel:+7-952-296-62-36;ext=5", "+7 952 296-62-36"),
    ],
)
def test_whatever_is_pasted_is_made_sense_of(visits: Visits, copied: str, shown: str) -> None:
    visitor = at_the_field(visits)
    paste(visitor.page, copied)
    expect(visitor.contact).to_have_value(shown)


def test_a_paste_goes_on_from_what_stands_there(visits: Visits) -> None:
    visitor = at_the_field(visits)
    visitor.page.keyboard.type("8")
    paste(visitor.page, "(952) 296 62 36")
    expect(visitor.contact).to_have_value("8 952 296-62-36")  # once the country's ways have been fetched
    assert marked(visitor.contact) == "8 952 296-62-36|"
    paste(visitor.page, "+49 151 23456789")
    expect(visitor.contact).to_have_value("+49 1512 3456789")
    assert marked(visitor.contact) == "+49 1512 3456789|"


def test_what_a_browser_fills_in_is_spaced_and_sent(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = at_the_field(visits, **GERMANY)
    visitor.contact.fill(phone)
    expect(visitor.contact).to_have_value(re.compile(r"\+7 952 \d{3}-\d\d-\d\d"))
    assert country(visitor.page) == "RU +7"
    visitor.page.locator("main form .primary").click()
    visitor.chooses("sms")
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)


# The list


def options(page: Page) -> list[str]:
    return page.locator("#country-list [role=option]").all_inner_texts()


def test_a_country_is_found_with_the_keyboard(visits: Visits, stack: Stack) -> None:
    visitor = at_the_field(visits)
    page, search = visitor.page, visitor.page.locator("#country-search")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#country")).to_be_focused()
    page.keyboard.press("Enter")
    expect(search).to_be_focused()
    expect(page.get_by_role("option")).to_have_count(245)
    assert [re.sub(r"\s*\+.*", "", name) for name in options(page)[:3]] == ["Россия", "Казахстан", "Беларусь"]
    for sought in ("герм", "germany", "DE", "+49", "49"):
        search.fill(sought)
        expect(page.locator("#country-list [data-active]")).to_contain_text("Германия")
        expect(search).to_have_attribute("aria-activedescendant", "country-DE")
    search.fill("аланд")  # Аландские о-ва
    expect(page.locator("#country-AX")).to_be_visible()
    search.fill("atlantis")
    expect(page.get_by_role("option")).to_have_count(0)
    expect(page.locator("#countries [role=status]")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(page.locator("#country")).to_be_focused()
    expect(search).to_be_hidden()

    page.keyboard.type("g")  # on the button, it opens the list and is searched for
    expect(search).to_have_value("g")
    page.keyboard.type("erman")
    page.keyboard.press("Enter")
    expect(visitor.contact).to_be_focused()
    assert country(page) == "DE +49"
    page.keyboard.type("015123456789")
    expect(visitor.contact).to_have_value("01512 3456789")


def test_only_countries_that_the_site_sends_to_are_offered(visits: Visits, stack: Stack, watch: Watch) -> None:
    watch.expects(409)
    key = "pk_near"
    stack.add_project(
        key, name="Near", channels=("sms",), countries=("KZ", "+44", "DE"), countries_sms=("KZ", "DE")
    )
    visitor = visits.visitor(DESKTOP, **RUSSIA)  # a guess that is of no use here
    visitor.begins(f"/widget/?key={key}")
    expect(visitor.contact).to_be_focused()
    assert country(visitor.page) == "DE +49"
    visitor.page.locator("#country").click()
    expect(visitor.page.get_by_role("option")).to_have_count(2)
    visitor.page.locator("#country-KZ").click()
    visitor.page.keyboard.type("7012345678")
    visitor.page.keyboard.press("Enter")
    visitor.is_asked_for_code("sms")
    visitor.begins(f"/widget/?key={key}")
    visitor.contact.fill("+79522966236")
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.get_by_role("alert")).to_have_text("На такой номер этот сайт коды не отправляет.")


def test_arrows_walk_the_list_and_stop_at_its_ends(visits: Visits) -> None:
    visitor = at_the_field(visits)
    page = visitor.page
    page.locator("#country").click()
    active = page.locator("#country-list [data-active]")
    expect(active).to_have_attribute("id", "country-RU")
    page.keyboard.press("ArrowUp")
    expect(active).to_have_attribute("id", "country-RU")
    page.keyboard.press("ArrowDown")
    expect(active).to_have_attribute("id", "country-KZ")
    for _ in range(40):
        page.keyboard.press("PageDown")
    last = page.locator("#country-list [role=option]").last
    expect(last).to_have_attribute("data-active", "yes")
    expect(last).to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(page.locator("#countries")).to_be_hidden()


def test_a_country_is_chosen_with_a_finger(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = at_the_field(visits, PHONE, **GERMANY)
    page = visitor.page
    visitor.contact.fill("+4915123456789")
    page.locator("#country").tap()
    page.locator("#country-search").fill("рос")
    expect(page.get_by_role("option")).to_have_count(0)
    page.locator("#country-search").fill("russ")
    page.locator("#country-RU").tap()
    expect(visitor.contact).to_have_value("+7 15123456789")  # what was typed stays: only the code is another
    visitor.contact.fill(phone.removeprefix("+7"))
    page.locator("main form .primary").tap()
    visitor.chooses("sms")
    assert stack.code(phone)


def test_a_list_that_does_not_come_says_what_to_do(visits: Visits, watch: Watch) -> None:
    watch.expects("net::ERR_FAILED")
    visitor = at_the_field(visits, **GERMANY)
    page = visitor.page
    page.route("**/widget/countries/**", lambda route: route.abort())
    page.locator("#country").click()
    expect(page.locator("#countries [role=status]")).to_contain_text("Type the number with +")
    page.keyboard.press("Escape")
    visitor.contact.fill("+390612345678")
    expect(visitor.contact).to_have_value("+39 0612345678")
    page.unroute("**/widget/countries/**")
    page.locator("#country").click()
    expect(page.get_by_role("option")).to_have_count(245)
    expect(page.locator("#countries [role=status]")).to_be_empty()


def test_the_field_says_its_country_to_a_screen_reader(visits: Visits) -> None:
    page = at_the_field(visits, **GERMANY).page
    expect(page.get_by_role("button", name="DE +49 Germany, choose a country")).to_have_attribute(
        "aria-expanded", "false"
    )
    page.locator("#country").click()
    expect(page.get_by_role("combobox", name="Country")).to_be_focused()
    expect(page.get_by_role("option", name="Germany +49")).to_have_attribute("aria-selected", "true")


# Without the script, and beside it


def test_without_a_script_the_page_says_whose_number_it_takes(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = at_the_field(visits, DESKTOP_PLAIN, locale="ru-RU")
    expect(visitor.page.locator("#country")).to_be_hidden()
    expect(visitor.page.locator("noscript .hint")).to_contain_text("+7")
    visitor.gives(phone.removeprefix("+7"))
    visitor.chooses("sms")
    assert stack.code(phone)


def test_the_field_works_again_after_other_steps(visits: Visits) -> None:
    visitor = at_the_field(visits)
    page = visitor.page
    page.locator("main a[href*='by=email']").click()
    expect(visitor.contact).to_have_attribute("type", "email")
    page.locator("main a[href*='by=phone']").click()
    expect(visitor.contact).to_have_attribute("type", "tel")
    visitor.contact.press_sequentially("9522966236")
    expect(visitor.contact).to_have_value("952 296-62-36")


def test_a_page_loaded_without_the_field_gets_its_script_with_it(visits: Visits, phone: str) -> None:
    visitor = at_the_field(visits)
    page = visitor.page
    visitor.gives(phone)
    expect(visitor.contact).to_have_count(0)
    page.reload()
    page.go_back()
    expect(visitor.contact).to_be_visible()
    visitor.contact.fill("9522966236")
    expect(visitor.contact).to_have_value("952 296-62-36")
