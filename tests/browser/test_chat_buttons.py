"""The buttons below a code in the chat page of the sandbox: pressed as a person does, with a real answer."""

import time

from playwright.sync_api import expect

from gateway.bootstrap import build_gateway
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.settings import Settings
from gateway.verbs import Caller

from .conftest import Visits
from .people import Chat, shown
from .stack import Stack

SLOWLY = """() => {
    const fetched = window.fetch;
    window.fetch = async (path, ...more) => {
        if (path === "/api/people") await new Promise((resolve) => setTimeout(resolve, 700));
        return fetched(path, ...more);
    };
}"""


class Login:
    """A login that waits for one tap, and the chat of whoever has this phone."""

    def __init__(self, visits: Visits, stack: Stack, phone: str) -> None:
        stack.connect(phone)
        self.chat: Chat = visits.chat(f"{stack.chat_url}?phone={phone[1:]}")
        self.gateway = build_gateway(Settings(_env_file=None, database_url=stack.database_url))
        project, _ = self.gateway.authenticate("pk_development")
        self.caller = Caller(project, browser="Chrome, Windows", browser_key="mine", place="DE")
        self.session_id = self.gateway.create(self.caller, parse_contact(phone), Channel.TELEGRAM).session_id
        self.chat.reads("Chrome, Windows · Germany")
        number = self.gateway.progress(self.caller, self.session_id).number
        assert number
        self.number = str(number)

    def becomes(self, state: str) -> None:
        for _ in range(100):
            if self.gateway.progress(self.caller, self.session_id).state == state:
                return
            time.sleep(0.1)
        raise AssertionError(f"the session is not {state}")


def test_a_number_is_pressed_and_the_message_says_so(visits: Visits, stack: Stack, phone: str) -> None:
    login = Login(visits, stack, phone)
    keys = login.chat.page.locator(".inline .key")
    expect(keys).to_have_count(5)
    login.chat.page.get_by_role("button", name=login.number, exact=True).click()
    login.chat.reads("Confirmed")
    expect(keys).to_have_count(0)
    expect(login.chat.page.locator("#toast")).to_contain_text("Confirmed")
    login.becomes("approved")


def test_a_denial_is_pressed_by_the_keyboard_and_the_warning_read(
    visits: Visits, stack: Stack, phone: str
) -> None:
    login = Login(visits, stack, phone)
    login.chat.page.get_by_role("button", name="It wasn’t me").focus()
    login.chat.page.keyboard.press("Enter")
    login.chat.reads("Somebody may be trying")
    login.becomes("closed")


def test_that_the_code_must_be_typed_stays_until_it_is_read(visits: Visits, stack: Stack, phone: str) -> None:
    login = Login(visits, stack, phone)
    login.gateway.create(Caller(login.caller.project, browser_key="another's"), parse_contact(phone))
    login.chat.page.get_by_role("button", name=login.number, exact=True).click()
    alert = login.chat.page.locator("#alert")
    expect(alert).to_be_visible()
    expect(alert).to_contain_text("type the code on the page instead")
    alert.get_by_role("button").click()
    expect(login.chat.page.locator(".inline .key")).to_have_count(2)
    login.becomes("live")


def test_start_is_pressed_by_whom_the_phone_was_just_given_to(visits: Visits, stack: Stack, phone: str) -> None:
    """However long the phone takes to change hands."""
    chat = visits.chat(stack.chat_url)
    chat.page.evaluate(SLOWLY)
    chat.page.locator("#owner").click()
    chat.page.locator("#owner-phone").fill(phone)
    chat.page.locator("#owner-form .strong").click()
    chat.presses_start()
    expect(chat.page.locator("#owner-number")).to_have_text(shown(phone))
    expect(chat.ask).to_be_visible()
