"""The site on a kod.mobi account (here another Kodgate): the same pages, the same login."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .conftest import Visits
from .people import DESKTOP, PHONE, PHONE_PLAIN, Face
from .stack import Stack
from .test_login import open_telegram, return_to


@pytest.fixture(scope="module")
def hosted_stack(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """web and bot of a site whose account is at `stack`, with whose people and letters it lives."""
    site = Stack(
        tmp_path_factory.mktemp("hosted"),
        KODMOBI_URL=stack.web,
        KODMOBI_PUBLIC_KEY="pk_development",
        KODMOBI_SECRET_KEY="sk_development",
    )
    site.runs = ("web", "bot")
    site.sandbox = stack.sandbox
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
