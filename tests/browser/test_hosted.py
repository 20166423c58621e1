"""The site on a kod.mobi account (here another Kodgate): the same pages, the same login."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .conftest import Visits, Watch
from .people import DESKTOP, PHONE, PHONE_PLAIN, Face
from .stack import Stack
from .test_login import open_telegram, return_to


def hosted_by(upstream: Stack, folder: Path) -> Stack:
    site = Stack(
        folder,
        KODMOBI_URL=upstream.web,
        KODMOBI_PUBLIC_KEY="pk_development",
        KODMOBI_SECRET_KEY="sk_development",
        KODMOBI_REST_SECONDS="1",
    )
    site.runs = ("web", "bot")
    site.sandbox = upstream.sandbox
    return site


@pytest.fixture(scope="module")
def hosted_stack(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """web and bot of a site whose account is at `stack`, with whose people and letters it lives."""
    site = hosted_by(stack, tmp_path_factory.mktemp("hosted"))
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.mark.parametrize("face", [PHONE, PHONE_PLAIN, DESKTOP], ids=str)
def test_a_code_by_sms(visits: Visits, hosted_stack: Stack, phone: str, face: Face) -> None:
    visitor = visits.visitor(face, hosted_stack)
    visitor.goes_to_code(phone, "sms")
    visitor.sees_code_sent()
    visitor.types("000000" if hosted_stack.code(phone) != "000000" else "000001")
    expect(visitor.problem).to_contain_text("Attempts left: 4")
    visitor.types(hosted_stack.code(phone))
    visitor.is_logged_in_as(phone)


def test_a_new_telegram_user_is_noticed_by_itself(visits: Visits, hosted_stack: Stack, phone: str) -> None:
    visitor = visits.visitor(DESKTOP, hosted_stack)
    visitor.goes_to_code(phone, "telegram")
    expect(visitor.delivery).to_have_attribute("data-active", "no")
    chat = open_telegram(visitor, visits)
    chat.belongs_to(phone)
    chat.presses_start()
    chat.shares_contact()
    code = chat.code()
    return_to(visitor.page)
    expect(visitor.delivery).to_have_attribute("data-active", "yes")
    visitor.sees_code_sent()
    visitor.types(code)
    visitor.is_logged_in_as(phone)


def test_an_email(visits: Visits, hosted_stack: Stack, email: str) -> None:
    visitor = visits.visitor(PHONE, hosted_stack)
    visitor.goes_to_code(email, "email")
    visitor.types(hosted_stack.code(email, "email"))
    visitor.is_logged_in_as(email)


def test_while_the_account_is_away_the_visitor_can_try_again(
    visits: Visits, watch: Watch, tmp_path_factory: pytest.TempPathFactory, phone: str
) -> None:
    """The upstream goes and comes back in the middle of a login, which then goes on where it was."""
    watch.expects(503)
    upstream = Stack(tmp_path_factory.mktemp("account"))
    upstream.start()
    site = hosted_by(upstream, tmp_path_factory.mktemp("site"))
    try:
        site.start()
        visitor = visits.visitor(DESKTOP, site)
        visitor.goes_to_code(phone, "sms")
        code = upstream.code(phone)
        upstream.end("web")
        visitor.types(code)
        expect(visitor.heading).to_have_text("Something is in the way")
        upstream.begin("web")
        again = visitor.page.get_by_role("link", name="Try again")
        expect(again).to_have_attribute("target", "_self")  # within a frame, too, all is loaded anew
        for _ in range(30):
            if not again.count():
                break
            again.click()
            visitor.page.wait_for_timeout(1000)
        visitor.types(code)
        visitor.is_logged_in_as(phone)
    finally:
        site.stop()
        upstream.stop()
