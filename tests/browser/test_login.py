"""A person logs in: by Telegram for the first time and again, by SMS and other messages, by email."""

import pytest
from playwright.sync_api import Page, expect

from .conftest import Visits
from .people import DESKTOP, DESKTOP_PLAIN, EVERY_FACE, PHONE, PHONE_PLAIN, Chat, Face, Visitor
from .stack import Stack


def open_telegram(visitor: Visitor, visits: Visits) -> Chat:
    """Follow the deep link: into a new tab, or, without a script, into the app of another program."""
    link = visitor.page.locator("a.telegram")
    if not visitor.face.script:
        return visits.chat(link.get_attribute("href") or "")
    with visitor.page.context.expect_page() as opened:
        link.click()
    return Chat(opened.value)


def return_to(page: Page) -> None:
    page.bring_to_front()


@pytest.mark.parametrize("face", EVERY_FACE, ids=str)
def test_a_new_telegram_user_is_noticed_and_gets_the_code(visits: Visits, phone: str, face: Face) -> None:
    visitor = visits.visitor(face)
    visitor.goes_to_code(phone, "telegram")
    expect(visitor.delivery).to_have_attribute("data-active", "no")

    chat = open_telegram(visitor, visits)
    chat.belongs_to(phone)
    chat.presses_start()
    chat.reads("Kodgate asks who is logging in")
    chat.shares_contact()
    code = chat.code()

    return_to(visitor.page)
    visitor.sees_code_sent()
    expect(visitor.delivery).to_have_attribute("data-active", "yes")
    visitor.types(code)
    visitor.is_logged_in_as(phone)
    expect(visitor.page.locator("#channel")).to_have_text("Telegram")


@pytest.mark.parametrize("face", [PHONE, DESKTOP_PLAIN], ids=str)
def test_a_returning_telegram_user_gets_the_code_at_once(
    visits: Visits, stack: Stack, phone: str, face: Face
) -> None:
    stack.connect(phone)
    visitor = visits.visitor(face)
    visitor.begins()
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")
    expect(visitor.delivery).to_have_attribute("data-active", "yes")
    visitor.sees_code_sent()
    expect(visitor.page.locator("a.telegram")).to_have_count(0)

    chat = visits.chat(f"{stack.chat_url}?phone={phone[1:]}")
    code = chat.code()
    expect(chat.ask).to_have_count(0)
    visitor.types(code)
    visitor.is_logged_in_as(phone)


@pytest.mark.parametrize("face", EVERY_FACE, ids=str)
def test_a_code_by_sms(visits: Visits, stack: Stack, phone: str, face: Face) -> None:
    visitor = visits.visitor(face)
    visitor.goes_to_code(phone, "sms")
    visitor.sees_code_sent()
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)
    expect(visitor.page.locator("#channel")).to_have_text("SMS")


@pytest.mark.parametrize(("channel", "name"), [("whatsapp", "WhatsApp"), ("viber", "Viber")])
def test_a_code_by_another_messenger(visits: Visits, stack: Stack, phone: str, channel: str, name: str) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, channel)
    expect(visitor.delivery).to_contain_text(name)
    visitor.types(stack.code(phone, channel))
    visitor.is_logged_in_as(phone)
    expect(visitor.page.locator("#channel")).to_have_text(name)


@pytest.mark.parametrize("face", [DESKTOP, PHONE_PLAIN], ids=str)
def test_a_code_by_email(visits: Visits, stack: Stack, email: str, face: Face) -> None:
    visitor = visits.visitor(face)
    visitor.goes_to_code(email, "email")
    visitor.types(stack.code(email, "email"))
    visitor.is_logged_in_as(email)


def test_a_whole_message_may_be_pasted_for_its_code(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "sms")
    stack.code(phone)
    visitor.code.fill(stack.letters(phone, "sms")[0]["text"])
    visitor.is_logged_in_as(phone)


def test_a_code_is_taken_with_the_spaces_and_words_that_come_with_a_paste(
    visits: Visits, stack: Stack, phone: str
) -> None:
    visitor = visits.visitor(DESKTOP)
    visitor.goes_to_code(phone, "sms")
    code = stack.code(phone)
    visitor.code.fill(f" {code[:3]} {code[3:]}")
    visitor.is_logged_in_as(phone)


def test_the_code_field_asks_for_a_numeric_keyboard_and_the_code_of_an_sms(visits: Visits, phone: str) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "sms")
    expect(visitor.code).to_have_attribute("autocomplete", "one-time-code")
    expect(visitor.code).to_have_attribute("inputmode", "numeric")
    expect(visitor.page.get_by_label("Code, 6 digits")).to_be_focused()
