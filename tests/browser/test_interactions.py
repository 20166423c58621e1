"""How much a login asks of a person: each tap, click and run of typing counts, in the browser and in the chat."""

import itertools
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.figures import Figure

from .conftest import Visits, Watch
from .people import DESKTOP, PHONE, Chat, Face, Visitor
from .stack import Stack

FLOWS = pytest.mark.parametrize(("flow", "face"), [("sending-first", PHONE), ("channel-first", DESKTOP)], ids=str)
NEW, RETURNING = 6, 3  # interactions at most, from the typed phone to being logged in

# A press of a pointer counts, and a run of typing in one field; what a script does is not trusted and doesn't.
_COUNT = """(() => {
  let typedIn;
  const note = (what) => { typedIn = what.field; notedInteraction(`${what.kind} ${what.on}`); };
  const name = (node) => (node.closest?.("a, button, label") ?? node).textContent?.trim().slice(0, 40) || node.id;
  addEventListener("click", (event) => {
    if (event.isTrusted && event.detail) note({ kind: "press", on: name(event.target) });
  }, true);
  addEventListener("keydown", (event) => {
    if (!event.isTrusted || typedIn === event.target) return;
    const field = event.key === "Enter" || event.key === " " ? undefined : event.target;
    note({ kind: "type", on: event.target.id, field });
  }, true);
})()"""


class Counted:
    """What a person did in all their pages, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._begun = False

    def over(self, page: Page) -> None:
        """Must be called before the pages that count are loaded."""
        page.context.expose_binding("notedInteraction", self._note)
        page.context.add_init_script(_COUNT)

    def _note(self, _: Any, what: str) -> None:
        self.done.append(what)


class Somebody:
    """With a browser and, in another, the phone with Telegram."""

    def __init__(self, visits: Visits, stack: Stack, face: Face, phone: str) -> None:
        self.counted = Counted()
        self.visitor = Visitor(visits.page(face), stack, face)
        self.chat = Chat(visits.page(PHONE))
        for page in (self.visitor.page, self.chat.page):
            self.counted.over(page)
        self._stack = stack
        self._phone = phone
        self._opened_here = False

    def opens_telegram(self) -> None:
        """By the page's button: an app that knows its owner opens, with the chat and the payload in it."""
        link = self.visitor.page.locator("a.telegram")
        with self.visitor.page.context.expect_page() as opened:
            link.click()
        opened.value.close()
        address = link.get_attribute("href")
        self.chat.page.goto(f"{address}&phone={self._phone[1:]}")

    def types_the_phone(self) -> None:
        self.visitor.contact.click() if self.visitor.face.touch else None
        self.visitor.contact.press_sequentially(self._phone)
        self.visitor.page.wait_for_timeout(200)
        self.counted.done.clear()  # from "phone typed" on
        self.visitor.page.locator("main form .primary").click()


@FLOWS
def test_a_new_telegram_user(
    visits: Visits, stack: Stack, phone: str, face: Face, flow: str, figure: Figure
) -> None:
    """The code comes to the chat of who has just shared the contact, and is typed."""
    person = Somebody(visits, stack, face, phone)
    visitor = person.visitor
    visitor.begins(f"/widget/?key=pk_development&flow={flow}")
    if flow == "channel-first":
        visitor.begins_with("telegram")
    person.types_the_phone()
    expect(visitor.page.locator("a.telegram")).to_be_visible()
    person.opens_telegram()
    person.chat.presses_start()
    person.chat.shares_contact()
    finish(person)
    report(figure, f"new, {flow}, {face}", person, NEW)


def finish(person: Somebody) -> None:
    """By the number where the page shows one, else by the code."""
    visitor = person.visitor
    number = visitor.page.locator("#region-number .big")
    expect(number).to_be_visible()
    person.chat.page.get_by_role("button", name=number.inner_text(), exact=True).click()
    expect(visitor.heading).to_have_text("Done")


@FLOWS
def test_a_returning_user_by_one_tap(
    visits: Visits, stack: Stack, phone: str, face: Face, flow: str, figure: Figure
) -> None:
    stack.connect(phone)
    person = Somebody(visits, stack, face, phone)
    person.chat.page.goto(f"{stack.chat_url}?phone={phone[1:]}")
    visitor = person.visitor
    visitor.begins(f"/widget/?key=pk_development&flow={flow}")
    if flow == "channel-first":
        visitor.begins_with("telegram")
    person.types_the_phone()
    finish(person)
    report(figure, f"returning, {flow}, {face}", person, RETURNING)


def report(figure: Figure, name: str, person: Somebody, most: int) -> None:
    done = person.counted.done
    figure(f"{name}: {len(done)} interactions (at most {most}): {'; '.join(done)}")
    assert 1 < len(done) <= most, done


def test_the_count_would_notice(visits: Visits, stack: Stack, watch: Watch) -> None:
    watch.expects(400)  # half a number is refused
    page = visits.page(DESKTOP)
    counted = Counted()
    counted.over(page)
    page.goto(f"{stack.web}/widget/?key=pk_development")
    page.locator("#to").click()
    page.locator("#to").press_sequentially("+7952")
    page.locator("h1").click()
    page.locator("#to").press("Enter")
    page.wait_for_timeout(300)
    kinds = [kind for kind, _ in itertools.groupby(one.partition(" ")[0] for one in counted.done)]
    assert (len(counted.done), kinds) == (4, ["press", "type", "press", "type"]), counted.done
