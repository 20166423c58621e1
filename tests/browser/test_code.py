"""The code's page when things do not go straight: wrong codes, expiry, resend, another channel or number."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from .conftest import Visits, Watch
from .people import DESKTOP, DESKTOP_PLAIN, PHONE, PHONE_PLAIN, Face, Visitor, shown
from .stack import Stack

BOTH = pytest.mark.parametrize("face", [PHONE, DESKTOP_PLAIN], ids=str)
ATTEMPTS = 5
BRIEF = "/widget?key=pk_brief&return_to=/login/done"


def wrong(code: str) -> str:
    """A code that is not this one."""
    return f"{(int(code) + 1) % 10**6:06}"


def guess_wrongly(visitor: Visitor, code: str, left: int) -> None:
    visitor.types(wrong(code))
    expect(visitor.problem).to_have_text(f"Wrong code. Attempts left: {left}.")
    expect(visitor.code).to_have_value("")


@BOTH
def test_a_wrong_code_says_how_many_tries_are_left(visits: Visits, stack: Stack, phone: str, face: Face) -> None:
    visitor = visits.visitor(face)
    visitor.goes_to_code(phone, "sms")
    code = stack.code(phone)
    guess_wrongly(visitor, code, ATTEMPTS - 1)
    expect(visitor.code).to_be_focused()
    expect(visitor.code).to_have_accessible_description("Wrong code. Attempts left: 4.")
    visitor.types(code)
    visitor.is_logged_in_as(phone)


@BOTH
def test_the_last_wrong_code_closes_the_session_and_the_number_rests(
    visits: Visits, stack: Stack, watch: Watch, phone: str, face: Face
) -> None:
    watch.expects(423)
    visitor = visits.visitor(face)
    visitor.goes_to_code(phone, "sms")
    code = stack.code(phone)
    for left in range(ATTEMPTS - 1, 0, -1):
        guess_wrongly(visitor, code, left)
    visitor.types(wrong(code))
    expect(visitor.over).to_have_attribute("data-over", "closed")
    expect(visitor.heading).to_have_text("This login was closed")

    visitor.page.get_by_role("link", name="Start again").click()
    visitor.gives(phone)
    expect(visitor.problem).to_have_text(re.compile(r"Too many wrong codes\. Try again in \d+ s\."))
    expect(visitor.contact).to_have_value(shown(phone) if face.script else phone)


def test_after_the_rest_the_number_can_log_in_again(
    visits: Visits, hasty_stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(423)
    visitor = visits.visitor(PHONE, hasty_stack)
    visitor.goes_to_code(phone, "sms")
    code = hasty_stack.code(phone)
    for left in range(ATTEMPTS - 1, 0, -1):
        guess_wrongly(visitor, code, left)
    visitor.types(wrong(code))
    visitor.page.get_by_role("link", name="Start again").click()
    visitor.page.wait_for_timeout(3100)  # the rest itself, which nothing on the page announces
    visitor.gives(phone)
    visitor.chooses("sms")
    visitor.types(hasty_stack.code(phone, at_least=2))
    visitor.is_logged_in_as(phone)


def test_the_page_notices_by_itself_that_the_time_is_up(
    visits: Visits, hasty_stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(410)
    visitor = visits.visitor(DESKTOP, hasty_stack)
    visitor.goes_to_code(phone, "sms", BRIEF)
    expect(visitor.over).to_have_attribute("data-over", "expired")
    expect(visitor.heading).to_have_text("The time is up")
    expect(visitor.heading).to_be_focused()

    visitor.page.get_by_role("link", name="Start again").click()
    visitor.gives(phone)
    visitor.chooses("sms")
    visitor.types(hasty_stack.code(phone, at_least=2))
    expect(visitor.page).to_have_url(re.compile("/login/done"))  # without the site's own state: not let in
    expect(visitor.heading).to_have_text("Something is in the way")


def test_without_a_script_the_next_post_says_that_the_time_is_up(
    visits: Visits, hasty_stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(410)
    visitor = visits.visitor(PHONE_PLAIN, hasty_stack)
    visitor.goes_to_code(phone, "sms", BRIEF)
    code = hasty_stack.code(phone)
    visitor.page.wait_for_timeout(5100)  # the session's life
    visitor.types(code)
    expect(visitor.over).to_have_attribute("data-over", "expired")
    visitor.page.get_by_role("link", name="Start again").click()
    expect(visitor.contact).to_be_visible()


def test_a_code_is_sent_again_when_the_countdown_has_run_out(
    visits: Visits, hasty_stack: Stack, phone: str
) -> None:
    visitor = visits.visitor(PHONE, hasty_stack)
    visitor.goes_to_code(phone, "sms")
    again = visitor.way("sms")
    expect(again).to_be_disabled()
    expect(again).to_contain_text(re.compile(r"Send again by SMS\s+in [123] s"))
    first = hasty_stack.code(phone)
    expect(again).to_be_enabled()
    expect(again).not_to_contain_text(" s")
    visitor.switches_to("sms")
    expect(visitor.way("sms")).to_be_disabled()
    assert hasty_stack.code(phone, at_least=2) == first, "one session, one code: the first message stays good"
    visitor.types(first)
    visitor.is_logged_in_as(phone)


def test_without_a_script_asking_too_soon_shows_the_wait_and_sends_nothing(
    visits: Visits, stack: Stack, phone: str
) -> None:
    visitor = visits.visitor(DESKTOP_PLAIN)
    visitor.goes_to_code(phone, "sms")
    stack.code(phone)
    visitor.switches_to("sms")
    expect(visitor.way("sms")).to_contain_text(re.compile(r"in \d+ s"))
    visitor.switches_to("whatsapp")
    stack.code(phone, "whatsapp")  # a later message of the same queue has come: an SMS would have, too
    assert len(stack.letters(phone, "sms")) == 1


@pytest.mark.parametrize("face", [DESKTOP, PHONE_PLAIN], ids=str)
def test_another_channel_brings_the_same_code(visits: Visits, stack: Stack, phone: str, face: Face) -> None:
    visitor = visits.visitor(face)
    visitor.goes_to_code(phone, "telegram")
    visitor.switches_to("sms")
    by_sms = stack.code(phone)
    expect(visitor.way("telegram")).to_contain_text("Back to Telegram")
    visitor.switches_to("viber")
    assert stack.code(phone, "viber") == by_sms
    expect(visitor.way("sms")).to_contain_text("Back to SMS")
    visitor.switches_to("telegram")
    expect(visitor.page.locator("a.telegram")).to_be_visible()
    visitor.types(by_sms)
    visitor.is_logged_in_as(phone)


@BOTH
def test_where_a_channel_fails_the_next_one_takes_over_and_the_page_says_so(
    visits: Visits, stack: Stack, phone: str, face: Face
) -> None:
    stack.order_fault(method="inbox", status=400)
    visitor = visits.visitor(face)
    visitor.begins()
    visitor.gives(phone)
    visitor.way("whatsapp").click()
    if not face.script:
        visitor.reloads_until(visitor.page.locator("[data-delivery=sent]"))
    expect(visitor.delivery).to_contain_text("WhatsApp didn’t answer, so we took another way.")
    expect(visitor.delivery).to_contain_text("by Viber")
    visitor.types(stack.code(phone, "viber"))
    visitor.is_logged_in_as(phone)
    expect(visitor.page.locator("#channel")).to_have_text("Viber")


ALEF_BET = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
PASTED: dict[str, Callable[[str], str]] = {
    "in a message": lambda code: f"Kodgate: {code} is your code for 3 minutes",
    "in two halves": lambda code: f"Code: {code[:3]}-{code[3:]}",
    "in Arabic digits": lambda code: code.translate(ALEF_BET),
}


@pytest.mark.parametrize("how", PASTED)
def test_a_code_is_found_in_whatever_is_pasted(visits: Visits, stack: Stack, phone: str, how: str) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "sms")
    visitor.code.fill(PASTED[how](stack.code(phone)))
    visitor.is_logged_in_as(phone)


def test_a_code_of_letters_is_found_in_a_message(visits: Visits, stack: Stack, phone: str) -> None:
    stack.add_project("pk_letters", name="Letters", letters=True)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "sms", "/widget/?key=pk_letters")
    visitor.code.fill("Letters: AB3DEF is your code")
    expect(visitor.problem).to_contain_text("Attempts left: 4")


OF_2022 = """
  const Whole = FormData;
  FormData = function FormData(form) { return new Whole(form); };
  delete HTMLFormElement.prototype.requestSubmit;
  RegExp = new Proxy(RegExp, { construct(made, given) {
    if (/[(][?]<[!=]/.test(given[0])) throw new SyntaxError("lookbehind");
    return new made(...given);
  } });
"""


def test_a_browser_of_2022_will_do(visits: Visits, stack: Stack, phone: str) -> None:
    """Safari 15 knows neither `requestSubmit`, nor the pressed button in `FormData`, nor lookbehind."""
    visitor = visits.visitor(PHONE)
    visitor.page.add_init_script(OF_2022)
    visitor.goes_to_code(phone, "sms", "/login")
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)


def test_an_email_that_fails_has_no_other_channel_and_the_page_says_so(
    visits: Visits, stack: Stack, email: str
) -> None:
    stack.order_fault(method="inbox", status=400)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(email, "email")
    expect(visitor.delivery).to_contain_text("Email could not deliver the code.")
    visitor.switches_to("email")
    visitor.types(stack.code(email, "email"))
    visitor.is_logged_in_as(email)


@BOTH
def test_a_mistyped_number_is_changed(
    visits: Visits, stack: Stack, watch: Watch, phone: str, email: str, face: Face
) -> None:
    watch.expects(400)
    visitor = visits.visitor(face)
    visitor.begins()
    visitor.gives("+7 952")
    expect(visitor.problem).to_have_text("This is 7 digits short: it should look like +7 912 345-67-89.")
    expect(visitor.contact).to_have_value("+7 952")
    expect(visitor.contact).to_be_focused()
    visitor.gives("+79523999999")
    visitor.chooses("sms")
    visitor.page.get_by_role("link", name="change").click()
    expect(visitor.contact).to_have_value("")
    visitor.gives(phone)
    visitor.chooses("sms")
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)
