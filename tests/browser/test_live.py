"""The page that waits for the code: what happens elsewhere appears by itself, whatever the way there meets."""

import json
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import CDPSession, Page, Request, Route, expect

from gateway.signing import SIGNATURE_HEADER, sign
from tests.receiver import Receiver
from tests.servers import until

from .conftest import Visits, Watch
from .people import DESKTOP, PHONE, Face, Visitor
from .stack import START_WITHIN, Stack, is_well

KEY = "a shared secret"
CUT_OFF = "net::ERR_"  # what the console says of a request that did not come through
BOTH = pytest.mark.parametrize("face", [PHONE, DESKTOP], ids=str)


@pytest.fixture(scope="module")
def sender() -> Iterator[Receiver]:
    """The operator's own SMS sender, which names each message that it takes and may report on it later."""
    with Receiver(
        body=lambda received: {"reference": f"sms-{json.loads(received.body)['message_id']}"}
    ) as running:
        yield running


@pytest.fixture(scope="module")
def stack(sender: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own: it is ended and begun in the middle of logins."""
    sms = f"webhook+{sender.url}/send#secret=a%20shared%20secret"
    running = Stack(tmp_path_factory.mktemp("live"), SMS_URL=sms)
    try:
        running.start()
        running.add_project("pk_brief", name="Brief", session_seconds=5)
        yield running
    finally:
        running.stop()


class Sms:
    """The newest message that the sender took for a phone."""

    def __init__(self, sender: Receiver, stack: Stack, phone: str) -> None:
        def taken() -> dict[str, str] | None:
            bodies = [json.loads(received.body) for received in sender.received]
            return next((body for body in reversed(bodies) if body["to"] == phone), None)

        self._stack = stack
        self._body = until(taken, f"a message to {phone}")
        self.code = self._body["code"]

    def turns_out(self, status: str) -> None:
        """The provider reports `delivered` or `failed`."""
        body = json.dumps({"reference": f"sms-{self._body['message_id']}", "status": status}).encode()
        headers = {SIGNATURE_HEADER: sign(body, KEY.encode(), int(time.time()))}
        httpx.post(f"{self._stack.live}/reports/sms/1", content=body, headers=headers).raise_for_status()


def restart(stack: Stack, name: str) -> None:
    stack.begin(name)
    until(lambda: is_well({"web": stack.web, "bot": stack.live}[name]) or None, f"{name} is back", START_WITHIN)


def is_active(visitor: Visitor) -> None:
    expect(visitor.delivery).to_have_attribute("data-active", "yes")


def is_typing(visitor: Visitor) -> None:
    """Has typed half of the code, and the cursor is still there."""
    expect(visitor.code).to_have_value("12")
    expect(visitor.code).to_be_focused()


# What appears


@BOTH
def test_the_way_of_a_message_appears_under_what_is_being_typed(
    visits: Visits, stack: Stack, sender: Receiver, phone: str, face: Face
) -> None:
    visitor = visits.visitor(face)
    visitor.goes_to_code(phone, "sms")
    visitor.code.press_sequentially("12")
    sms = Sms(sender, stack, phone)
    expect(visitor.delivery).to_contain_text("The code is on its way")
    sms.turns_out("delivered")
    expect(visitor.delivery).to_have_attribute("data-delivery", "delivered")
    expect(visitor.delivery).to_contain_text("SMS has delivered the code")
    is_typing(visitor)


def test_a_message_that_fails_goes_another_way_and_the_page_says_so(
    visits: Visits, stack: Stack, sender: Receiver, phone: str
) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "sms")
    visitor.sees_code_sent()
    visitor.code.press_sequentially("12")
    Sms(sender, stack, phone).turns_out("failed")
    expect(visitor.delivery).to_have_attribute("data-channel", "whatsapp")
    expect(visitor.delivery).to_contain_text("SMS didn’t answer, so we took another way.")
    expect(visitor.delivery).to_have_attribute("data-delivery", "sent")
    expect(visitor.way("whatsapp")).to_contain_text("Send again by WhatsApp")
    is_typing(visitor)
    visitor.types(stack.code(phone, "whatsapp"))
    visitor.is_logged_in_as(phone)


def test_a_sent_message_and_an_activation_appear(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(DESKTOP)
    visitor.goes_to_code(phone, "telegram")
    visitor.code.fill("12")
    visitor.code.focus()
    stack.connect(phone)
    is_active(visitor)
    visitor.sees_code_sent()
    is_typing(visitor)


def test_the_end_of_the_time_appears(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "whatsapp", "/widget/?key=pk_brief")
    expect(visitor.over).to_have_attribute("data-over", "expired")
    expect(visitor.heading).to_be_focused()


@BOTH
def test_an_approval_logs_in(visits: Visits, stack: Stack, phone: str, face: Face) -> None:
    stack.connect(phone)
    visitor = visits.visitor(face)
    approve(visitor, stack, phone)
    visitor.is_logged_in_as(phone)


def approve(visitor: Visitor, stack: Stack, phone: str) -> None:
    visitor.begins()
    visitor.gives(phone)
    number = visitor.page.locator("#region-number .big")
    expect(number).to_be_visible()
    stack.person(phone).taps(number.inner_text())


# What the page keeps


def test_looking_again_and_again_moves_nothing(visits: Visits, stack: Stack, watch: Watch, phone: str) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(DESKTOP)
    page = visitor.page
    page.route(f"{stack.live}/**", lambda route: route.abort())
    visitor.goes_to_code(phone, "whatsapp")
    visitor.sees_code_sent()
    looks(page, 1)
    page.evaluate(WATCH_STILLNESS)
    expect(visitor.way("whatsapp")).to_be_disabled()
    visitor.page.get_by_role("link", name="change").focus()
    looks(page, 3)
    assert page.evaluate("still()") == {"gone": 0, "shift": 0}
    expect(page.get_by_role("link", name="change")).to_be_focused()


WATCH_STILLNESS = """() => {
  const kept = [...document.querySelectorAll("main *")];
  let shift = 0;
  new PerformanceObserver((list) => { for (const one of list.getEntries()) shift += one.value; })
    .observe({ type: "layout-shift" });
  window.still = () => ({ gone: kept.filter((node) => !node.isConnected).length, shift });
}"""


def test_a_button_that_is_held_while_the_page_looks_is_pressed(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(DESKTOP)
    page = visitor.page
    page.route(f"{stack.live}/**", lambda route: route.abort())
    visitor.goes_to_code(phone, "whatsapp")
    visitor.sees_code_sent()
    visitor.way("viber").hover()
    page.mouse.down()
    looks(page, 2)
    page.mouse.up()
    visitor.is_asked_for_code("viber")


def looks(page: Page, times: int) -> None:
    """Wait until the page has asked the server so many times what has changed, and has been answered."""
    for _ in range(times):
        with page.expect_response(lambda answer: "/widget/code" in answer.url) as answered:
            pass
        answered.value.finished()


def test_an_answer_that_is_overtaken_does_not_show_what_was(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE)
    page = visitor.page
    visitor.goes_to_code(phone, "telegram")
    held: list[Route] = []
    page.route("**/widget/code?*", lambda route: held.append(route), times=1)
    stack.connect(phone)  # several events, one after the other

    while not held:
        page.wait_for_timeout(20)
    before = held[0].fetch()
    stack.person(phone).reads("code")
    page.wait_for_timeout(500)
    held[0].fulfill(response=before)
    is_active(visitor)
    visitor.sees_code_sent()


def test_what_has_changed_is_not_looked_for_once_the_login_is_over(
    visits: Visits, stack: Stack, sender: Receiver, phone: str
) -> None:
    """The session's page would say that its code has been used."""
    visitor = visits.visitor(PHONE)
    page = visitor.page
    visitor.goes_to_code(phone, "sms", "/widget/?key=pk_development")
    visitor.sees_code_sent()
    held: list[Route] = []
    page.route("**/widget/code?*", lambda route: held.append(route), times=1)
    for _ in range(2):  # two events, the second while the first is looked into
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    while not held:
        page.wait_for_timeout(20)
    visitor.types(Sms(sender, stack, phone).code)
    expect(visitor.heading).to_have_text("Done")
    held[0].continue_()
    page.wait_for_timeout(500)
    expect(visitor.heading).to_have_text("Done")


# A phone that sleeps


def lifecycle(page: Page) -> CDPSession:
    return page.context.new_cdp_session(page)


def test_what_happened_while_the_phone_slept_is_there_when_it_wakes(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "telegram")
    visitor.code.fill("12")
    devtools = lifecycle(visitor.page)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    stack.end("bot")  # the stream dies meanwhile, too
    restart(stack, "bot")
    stack.connect(phone)
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    is_active(visitor)
    visitor.sees_code_sent()
    expect(visitor.code).to_have_value("12")


def test_a_session_that_ended_in_the_sleep_is_over_when_it_wakes(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "whatsapp", "/widget/?key=pk_brief")
    devtools = lifecycle(visitor.page)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    time.sleep(7)
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    expect(visitor.over).to_have_attribute("data-over", "expired")


def test_timers_that_jump_by_minutes_do_no_harm(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE)
    visitor.page.clock.install()
    visitor.goes_to_code(phone, "whatsapp")
    expect(visitor.way("whatsapp")).to_be_disabled()
    visitor.code.fill("12")
    visitor.page.clock.fast_forward(
        "10:00"
    )  # as after a laptop's lid; the server's clock says 3 minutes are not over
    visitor.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(visitor.way("whatsapp")).to_be_disabled()
    expect(visitor.code).to_have_value("12")
    stack.connect(phone)
    expect(visitor.way("telegram")).to_be_visible()
    visitor.types(stack.code(phone, "whatsapp"))
    visitor.is_logged_in_as(phone)


# A network that changes


def test_a_network_that_was_away_for_a_moment_is_not_noticed(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "telegram")
    visitor.code.fill("12")
    visitor.page.context.set_offline(True)
    stack.connect(phone)
    visitor.page.wait_for_timeout(1500)
    visitor.page.context.set_offline(False)
    is_active(visitor)
    visitor.sees_code_sent()
    expect(visitor.code).to_have_value("12")


def test_a_code_that_is_typed_without_a_network_is_sent_once_there_is_one(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "whatsapp")
    code = stack.code(phone, "whatsapp")
    visitor.page.context.set_offline(True)
    visitor.types(code)
    visitor.page.wait_for_timeout(2500)
    expect(visitor.code).to_have_value(code)
    visitor.page.context.set_offline(False)
    visitor.is_logged_in_as(phone)


# Servers that restart


def test_the_bot_process_restarts_in_the_middle_of_a_login(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "telegram")
    visitor.code.fill("12")
    stack.end("bot")
    try:
        looks(visitor.page, 2)  # nobody tells, so the page asks
    finally:
        restart(stack, "bot")
    stack.connect(phone)
    is_active(visitor)
    visitor.sees_code_sent()
    expect(visitor.code).to_have_value("12")


def test_the_web_process_restarts_while_something_happens(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "telegram")
    visitor.code.fill("12")
    stack.end("web")
    try:
        stack.connect(phone)  # the event comes, and the page can't look
        visitor.page.wait_for_timeout(1000)
    finally:
        restart(stack, "web")
    is_active(visitor)
    visitor.sees_code_sent()
    expect(visitor.code).to_have_value("12")


def test_a_code_is_typed_while_the_web_process_restarts(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "whatsapp")
    code = stack.code(phone, "whatsapp")
    stack.end("web")
    try:
        visitor.types(code)
        visitor.page.wait_for_timeout(300)
    finally:
        restart(stack, "web")
    visitor.is_logged_in_as(phone)


def test_a_proxy_that_answers_502_for_the_stream_is_asked_around(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(502, "MIME type")
    visitor = visits.visitor(PHONE)
    page = visitor.page
    page.route(f"{stack.live}/**", lambda route: route.fulfill(status=502, body="Bad gateway"))
    visitor.goes_to_code(phone, "telegram")
    looks(page, 2)
    asked: list[Request] = []
    with page.expect_request(f"{stack.live}/live/**"):
        page.unroute(f"{stack.live}/**")
    page.wait_for_timeout(3000)
    page.on("request", lambda request: asked.append(request) if "/widget/code" in request.url else None)
    page.wait_for_timeout(5000)
    assert asked == [], "a stream that works again is enough"
    stack.connect(phone)
    visitor.sees_code_sent()


def test_a_page_that_was_sent_the_plain_way_lives_too(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(CUT_OFF)
    visitor = visits.visitor(PHONE)
    page = visitor.page
    visitor.goes_to_code(phone, "telegram")
    page.evaluate("Object.defineProperty(window, 'setTimeout', { value: (act) => queueMicrotask(act) })")
    page.route(
        "**/widget/check",
        lambda route: route.abort() if route.request.resource_type == "xhr" else route.continue_(),
    )
    visitor.types("000000")
    expect(visitor.problem).to_contain_text("Attempts left")
    expect(page).to_have_url(re.compile(r"/widget/code\?"))
    stack.connect(phone)
    visitor.sees_code_sent()
    expect(visitor.problem).to_contain_text("Attempts left")
    page.reload()
    visitor.is_asked_for_code("telegram")


# Tabs and history


def test_two_tabs_of_one_login_live_together_and_one_of_them_collects(
    visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(410)
    stack.connect(phone)
    first = visits.visitor(DESKTOP)
    first.begins()
    first.gives(phone)
    number = first.page.locator("#region-number .big")
    expect(number).to_be_visible()
    second = Visitor(first.page.context.new_page(), stack, DESKTOP)
    second.page.goto(first.page.url)
    expect(second.page.locator("#region-number .big")).to_have_text(number.inner_text())
    stack.person(phone).taps(number.inner_text())
    ended = first.over.or_(first.profile)
    expect(ended).to_be_visible()
    expect(second.over.or_(second.profile)).to_be_visible()
    assert sorted(one.over.count() for one in (first, second)) == [0, 1]


def test_a_login_begun_in_another_browser_takes_the_first_ones_number_away(
    visits: Visits, stack: Stack, phone: str
) -> None:
    """The message was about one browser's login; with two, the code alone decides."""
    stack.connect(phone)
    first = visits.visitor(DESKTOP)
    first.begins()
    first.gives(phone)
    number = first.page.locator("#region-number .big")
    expect(number).to_be_visible()
    second = visits.visitor(PHONE)
    second.begins()
    second.gives(phone)
    second.is_asked_for_code("telegram")
    expect(number).to_have_count(0)


@BOTH
def test_a_page_that_was_left_and_come_back_to_still_hears(
    visits: Visits, stack: Stack, phone: str, face: Face
) -> None:
    visitor = visits.visitor(face)
    page = visitor.page
    visitor.goes_to_code(phone, "telegram")
    page.go_back()
    expect(visitor.contact).to_be_visible()
    page.go_forward()
    visitor.is_asked_for_code("telegram")
    page.goto(stack.web)
    page.go_back()
    visitor.is_asked_for_code("telegram")
    stack.connect(phone)
    is_active(visitor)
    visitor.sees_code_sent()
