"""The network does not do its part: the login goes on."""

import pytest
from playwright.sync_api import Route, expect

from .conftest import Visits, Watch
from .people import DESKTOP, PHONE
from .stack import Stack


def test_activation_is_noticed_by_asking_where_the_live_stream_is_out_of_reach(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects("net::ERR_FAILED")
    visitor = visits.visitor(PHONE)
    visitor.page.route(f"{stack.live}/**", lambda route: route.abort())
    visitor.goes_to_code(phone, "telegram")
    stack.connect(phone)
    visitor.sees_code_sent()
    expect(visitor.delivery).to_have_attribute("data-active", "yes")


def test_activation_is_noticed_by_asking_where_a_proxy_holds_back_what_the_stream_says(
    visits: Visits, stack: Stack, phone: str
) -> None:
    """It has opened, and stays so."""
    visitor = visits.visitor(PHONE)
    visitor.page.add_init_script("EventSource.prototype.addEventListener = () => {};")
    visitor.goes_to_code(phone, "telegram")
    stack.connect(phone)
    visitor.sees_code_sent()


def test_asking_leaves_the_typing_and_the_focus_alone(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects("net::ERR_FAILED")
    visitor = visits.visitor(DESKTOP)
    visitor.page.route(f"{stack.live}/**", lambda route: route.abort())
    visitor.goes_to_code(phone, "sms")
    visitor.sees_code_sent()
    visitor.code.press_sequentially("123")
    visitor.way("viber").focus()
    for _ in range(2):
        with visitor.page.expect_response(lambda answer: "/widget/code" in answer.url):
            pass
    expect(visitor.way("viber")).to_be_focused()
    expect(visitor.code).to_have_value("123")


def test_a_server_that_is_busy_for_a_moment_does_not_take_the_page_away(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects("net::ERR_FAILED", 503)
    visitor = visits.visitor(PHONE)
    visitor.page.route(f"{stack.live}/**", lambda route: route.abort())
    visitor.goes_to_code(phone, "sms")
    visitor.page.route("**/widget/code?*", answer_busy, times=1)
    with visitor.page.expect_response(lambda answer: answer.status == 503):
        pass
    with visitor.page.expect_response(lambda answer: answer.status == 200 and "/widget/code" in answer.url):
        pass
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)


SOONER = """() => {
  const { set } = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "timeout");
  Object.defineProperty(XMLHttpRequest.prototype, "timeout", { set(ms) { set.call(this, ms / 10); } });
}"""


def test_a_code_whose_request_is_never_answered_is_sent_once_more(
    visits: Visits, stack: Stack, phone: str
) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "sms")
    visitor.page.evaluate(SOONER)
    lost: list[Route] = []
    visitor.page.route("**/widget/check", lambda route: lost.append(route), times=1)
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)
    assert lost


def answer_busy(route: Route) -> None:
    route.fulfill(status=503, body="<!doctype html><title>Busy</title><main>Busy", content_type="text/html")


@pytest.mark.parametrize("address", ["**/widget/start", "**/widget/send", "**/widget/check"])
def test_a_form_whose_request_was_lost_is_sent_the_plain_way(
    visits: Visits, stack: Stack, watch: Watch, phone: str, address: str
) -> None:
    watch.expects("net::ERR_FAILED")
    visitor = visits.visitor(PHONE)
    visitor.page.route(address, lambda route: route.abort(), times=1)
    visitor.goes_to_code(phone, "sms")
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)


def test_every_step_works_when_the_script_does_not_come(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects("net::ERR_FAILED")
    visitor = visits.visitor(PHONE)
    visitor.page.route("**/widget.js*", lambda route: route.abort())
    visitor.goes_to_code(phone, "sms")
    code = stack.code(phone)
    visitor.code.fill("000000" if code != "000000" else "000001")
    visitor.page.get_by_role("button", name="Log in").click()
    expect(visitor.problem).to_contain_text("Attempts left: 4")
    visitor.code.fill(code)
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.is_logged_in_as(phone)
