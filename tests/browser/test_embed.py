"""The widget on a partner's site, on an origin of its own, where third-party cookies are blocked."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import FloatRect, FrameLocator, Page, Route, expect

from tests.servers import until

from .conftest import Visits, Watch
from .people import DESKTOP, PHONE, PHONE_PLAIN, Face, press
from .shop import Shop
from .stack import Stack
from .test_looks import violations

SCRIPT = '<script src="{kodgate}/static/embed.js" data-key="pk_development" {more} async></script>'
BACK = 'data-return-to="/done" data-state="{state}"'
FORM = """<form action="{kodgate}/widget/" method="get">
<input type="hidden" name="key" value="pk_development"><input type="hidden" name="return_to" value="{shop}/done">
<input type="hidden" name="state" value="{state}"><button>Log in</button>{script}</form>"""


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Iterator[Shop]:
    with Shop(stack.web, "sk_development") as shop:

        def tag(more: str) -> str:
            return SCRIPT.replace("{kodgate}", stack.web).replace("{more}", more)

        form = FORM.replace("{kodgate}", stack.web).replace("{shop}", shop.origin())
        shop.pages |= {
            "/welcome": "<p>Welcome</p>",
            "/modal": tag(BACK),
            "/inline": tag(f'data-mode="inline" {BACK}'),
            "/redirect": tag(f'data-mode="redirect" data-return-to="{shop.origin()}/done" data-state="{{state}}"'),
            "/form": form.replace("{script}", tag("")),
            "/promise": tag('data-mode="none"'),
            "/beside": "<input id=search>" + tag('data-mode="inline"').replace("pk_development", "pk_beside"),
            "/channel-first": tag(f'data-mode="inline" data-flow="channel-first" {BACK}'),
            "/plain": f'<iframe title="Log in" width="400" height="700" src="{stack.web}/widget/'
            f'?key=pk_development&origin={shop.origin()}&return_to={shop.origin()}/done&state={{state}}"></iframe>',
        }
        yield shop


class Guest:
    """Somebody who logs in on the shop's page."""

    def __init__(self, page: Page, shop: Shop) -> None:
        self.page = page
        self.shop = shop

    @property
    def widget(self) -> FrameLocator | Page:
        return self.page.frame_locator("iframe") if self.page.locator("iframe").count() else self.page

    def opens(self, path: str) -> None:
        self.page.goto(self.shop.origin() + path)
        if path in ("/modal", "/form", "/redirect"):
            self.page.get_by_role("button", name="Log in").click()
        if path not in ("/redirect",):
            self.page.locator("iframe").wait_for()
        else:
            self.page.wait_for_url("**/widget/**")
        expect(self.widget.locator("#to")).to_be_visible()

    def gives(self, phone: str) -> None:
        self.widget.locator("#to").fill(phone)
        press(self.page, self.widget.locator("form .primary"))
        expect(self.widget.locator("#code")).to_be_visible()

    def takes(self, channel: str) -> None:
        press(self.page, self.widget.locator(f".way[value={channel}]"))
        expect(self.widget.locator(f"#region-delivery[data-channel={channel}]")).to_be_visible()

    def is_greeted_as(self, contact: str) -> None:
        expect(self.page.locator("h1")).to_have_text(f"Hello, {contact}")
        expect(self.page).to_have_url(f"{self.shop.origin()}/welcome")


Guests = Callable[..., Guest]
EVERY_WAY = ["/modal", "/inline", "/redirect", "/form"]


@pytest.fixture
def guests(visits: Visits, shop: Shop) -> Guests:
    def guest(face: Face = PHONE, **options: object) -> Guest:
        return Guest(visits.page(face, **options), shop)

    return guest


def test_third_party_cookies_are_blocked_in_this_browser(guests: Guests, shop: Shop) -> None:
    """The control of all that follows: a shop's cookie comes with its own page, and not in another's frame."""
    page = guests().page
    shop.pages["/framing"] = f'<iframe src="{shop.origin("other.localhost")}/welcome"></iframe>'
    page.goto(shop.origin("other.localhost") + "/welcome")
    with page.expect_request("**/welcome") as own:
        page.reload()
    assert "shop=" in own.value.all_headers().get("cookie", "")
    with page.expect_request("**/welcome") as framed:
        page.goto(shop.origin() + "/framing")
    assert "cookie" not in framed.value.all_headers()


@pytest.mark.parametrize("face", [PHONE, DESKTOP], ids=str)
@pytest.mark.parametrize("path", EVERY_WAY)
def test_a_login_by_sms(guests: Guests, stack: Stack, phone: str, path: str, face: Face) -> None:
    guest = guests(face)
    guest.opens(path)
    guest.gives(phone)
    guest.takes("sms")
    guest.widget.locator("#code").fill(stack.code(phone))
    guest.is_greeted_as(phone)


@pytest.mark.parametrize("face", [PHONE, DESKTOP], ids=str)
def test_the_dialog_stays_where_it_is_while_its_page_changes(guests: Guests, phone: str, face: Face) -> None:
    """Else a press that is meant for a button falls beside it."""
    guest = guests(face)
    guest.opens("/modal")
    before = _box(guest)
    guest.gives(phone)
    after = until(lambda: (box := _box(guest))["height"] != before["height"] and box, "it is as high as its page")
    assert (after["x"], after["y"]) == (before["x"], before["y"])
    assert after["y"] + after["height"] < face.height, "all of it is to be seen"


def _box(guest: Guest) -> FloatRect:
    box = guest.page.locator("dialog").bounding_box()
    assert box
    return box


@pytest.mark.parametrize("path", EVERY_WAY)
def test_a_login_by_a_code_in_telegram(guests: Guests, stack: Stack, phone: str, path: str) -> None:
    stack.connect(phone)
    guest = guests()
    guest.opens(path)
    guest.gives(phone)
    text = stack.person(phone).reads("login code")
    guest.widget.locator("#code").fill(text[:6])
    guest.is_greeted_as(phone)


@pytest.mark.parametrize("known", [True, False], ids=["returning", "new"])
@pytest.mark.parametrize("path", EVERY_WAY)
def test_a_login_by_one_tap(
    guests: Guests, visits: Visits, stack: Stack, phone: str, path: str, known: bool
) -> None:
    if known:
        stack.connect(phone)
    guest = guests(DESKTOP)
    guest.opens(path)
    guest.gives(phone)
    if not known:
        link = guest.widget.locator("a.telegram").get_attribute("href")
        chat = visits.chat(f"{link}&phone={phone[1:]}")
        chat.presses_start()
        chat.shares_contact()
    else:
        chat = visits.chat(f"{stack.chat_url}?phone={phone[1:]}")
    number = guest.widget.locator("#region-number .big").inner_text()
    chat.page.locator(".inline").get_by_text(number, exact=True).click()
    guest.is_greeted_as(phone)


def test_without_a_script_the_form_leads_to_the_page_and_back(guests: Guests, stack: Stack, phone: str) -> None:
    guest = guests(PHONE_PLAIN)
    page = guest.page
    page.goto(guest.shop.origin() + "/form")
    page.get_by_role("button", name="Log in").click()
    guest.gives(phone)
    guest.takes("sms")
    page.locator("#code").fill(stack.code(phone))
    page.locator("form[data-code] button").click()
    guest.is_greeted_as(phone)


@pytest.mark.parametrize("face", [PHONE, PHONE_PLAIN], ids=str)
def test_a_plain_frame_ends_with_a_link_to_the_partner(
    guests: Guests, stack: Stack, phone: str, face: Face
) -> None:
    guest = guests(face)
    guest.page.goto(guest.shop.origin() + "/plain")
    guest.gives(phone)
    guest.takes("sms")
    guest.widget.locator("#code").fill(stack.code(phone))
    if not face.script:
        press(guest.page, guest.widget.locator("form[data-code] button"))
    press(guest.page, guest.widget.get_by_role("link", name="Continue"))
    guest.is_greeted_as(phone)


def test_channel_first(guests: Guests, stack: Stack, phone: str) -> None:
    guest = guests()
    guest.page.goto(guest.shop.origin() + "/channel-first")
    press(guest.page, guest.widget.locator(".channel[data-channel=whatsapp]"))
    expect(guest.widget.locator(".lead")).to_contain_text("By WhatsApp")
    guest.gives(phone)
    guest.widget.locator("#code").fill(stack.code(phone, "whatsapp"))
    guest.is_greeted_as(phone)
    assert stack.letters(phone, "sms") == []


def test_a_promise_gives_the_token_or_says_that_it_was_closed(guests: Guests, stack: Stack, phone: str) -> None:
    guest = guests(DESKTOP)
    page = guest.page
    page.goto(guest.shop.origin() + "/promise")
    page.wait_for_function("window.Kodgate")
    opened = "Kodgate.open({state: 42}).then((won) => window.won = won, (no) => window.won = no.name)"
    page.evaluate(f"void {opened}")
    expect(guest.widget.locator("#to")).to_be_focused()
    page.get_by_role("button", name="Close").click()
    page.wait_for_function("window.won === 'KodgateClosed'")
    expect(page.locator("dialog, iframe")).to_have_count(0)

    page.evaluate(f"window.won = null; void {opened}")
    expect(guest.widget.locator("#to")).to_be_focused()
    page.keyboard.press("Escape")
    page.wait_for_function("window.won === 'KodgateClosed'")

    page.evaluate(f"window.won = null; void {opened}")
    guest.gives(phone)
    guest.takes("sms")
    guest.widget.locator("#code").fill(stack.code(phone))
    page.wait_for_function("window.won?.verify_token")
    assert page.evaluate("window.won.state") == "42"


def test_a_frame_whose_time_is_up_leaves_the_focus_to_whoever_types_beside_it(
    guests: Guests, stack: Stack, phone: str
) -> None:
    stack.add_project("pk_beside", name="Beside", session_seconds=5)
    guest = guests(DESKTOP)
    guest.page.goto(guest.shop.origin() + "/beside")
    guest.gives(phone)
    guest.page.locator("#search").press_sequentially("sho")
    expect(guest.widget.locator("main[data-over=expired]")).to_be_visible()
    expect(guest.page.locator("#search")).to_be_focused()


def test_a_partner_s_strict_policy_is_enough(guests: Guests, stack: Stack, shop: Shop, phone: str) -> None:
    shop.policy = f"default-src 'none'; img-src data:; script-src {stack.web}; frame-src {stack.web}"
    try:
        guest = guests(DESKTOP)
        guest.opens("/modal")
        assert guest.page.locator("dialog").bounding_box()["width"] < 440  # type: ignore[index]
        guest.gives(phone)
        guest.takes("sms")
        guest.widget.locator("#code").fill(stack.code(phone))
        guest.is_greeted_as(phone)
    finally:
        shop.policy = ""


def test_a_script_that_is_there_before_its_target_waits_for_it(
    guests: Guests, shop: Shop, stack: Stack, phone: str
) -> None:
    guest = guests(DESKTOP)
    page = guest.page
    head = SCRIPT.replace("{kodgate}", stack.web).replace(" async", "")
    shop.pages["/early"] = head.replace("{more}", f'data-mode="inline" data-target="#here" {BACK}') + (
        '<section id="here"></section>'
    )
    page.goto(guest.shop.origin() + "/early")
    expect(page.locator("#here iframe")).to_be_visible()
    guest.gives(phone)


@pytest.mark.parametrize("path", ["/modal", "/inline"])
def test_a_frame_that_comes_late_still_logs_in(
    guests: Guests, watch: Watch, stack: Stack, phone: str, path: str
) -> None:
    watch.expects("KodgateBlocked")
    guest = guests(DESKTOP)
    page = guest.page
    held: list[Route] = []
    page.route("**/widget/?*", lambda route: held.append(route), times=1)
    page.goto(guest.shop.origin() + path, wait_until="domcontentloaded")
    if path == "/modal":
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("link", name="Log in ↗")).to_be_visible(timeout=20_000)
    held[0].continue_()
    expect(guest.widget.locator("#to")).to_be_visible()
    expect(page.get_by_role("link", name="Log in ↗")).to_have_count(0)
    guest.gives(phone)
    guest.takes("sms")
    guest.widget.locator("#code").fill(stack.code(phone))
    guest.is_greeted_as(phone)


def test_what_a_form_asks_for_holds_in_its_dialog_too(guests: Guests, shop: Shop, stack: Stack) -> None:
    guest = guests(DESKTOP)
    asks = '<input type="hidden" name="flow" value="channel-first"><input type="hidden" name="lang" value="de">'
    shop.pages["/asks"] = shop.pages["/form"].replace("<button>", asks + "<button>")
    guest.page.goto(shop.origin() + "/asks")
    guest.page.wait_for_function("window.Kodgate")
    guest.page.get_by_role("button", name="Log in").click()
    expect(guest.widget.locator(".channel[data-channel=whatsapp]")).to_be_visible()
    assert guest.page.frames[1].evaluate("document.documentElement.lang") == "de"


@pytest.mark.parametrize("given", ["", "{mode: 'button'}", "{mode: 'modal'}"])
def test_a_call_that_says_little_opens_the_dialog_even_where_the_tag_is_gone(guests: Guests, given: str) -> None:
    guest = guests(DESKTOP)
    guest.page.goto(guest.shop.origin() + "/promise")
    guest.page.wait_for_function("window.Kodgate")
    guest.page.evaluate("document.querySelectorAll('script').forEach((script) => script.remove())")
    guest.page.evaluate(f"void Kodgate.open({given}).catch(() => {{}})")
    expect(guest.page.locator("dialog iframe")).to_be_visible()


# What is forged, foreign or in the way


FORGED = """(home) => {
  const seen = window.seen = [];
  addEventListener("kodgate:done", ({ detail }) => seen.push(detail));
  const forged = { kodgate: "done", verify_token: "forged", state: "" };
  postMessage(forged, "*");
  const frame = document.createElement("iframe");
  frame.srcdoc = `<script>parent.postMessage(${JSON.stringify(forged)}, "*")</scr` + "ipt>";
  document.body.append(frame);
  return new Promise((done) => setTimeout(() => done([...seen, location.pathname]), 500));
}"""


def test_forged_messages_are_not_believed(guests: Guests, shop: Shop, stack: Stack) -> None:
    guest = guests(DESKTOP)
    guest.opens("/inline")
    assert guest.page.evaluate(FORGED, stack.web) == ["/inline"]


def test_the_frame_hears_only_its_own_page(guests: Guests, shop: Shop, stack: Stack) -> None:
    guest = guests(DESKTOP)
    shop.pages["/liar"] = (
        f'<iframe title="Log in" src="{stack.web}/widget/?key=pk_development&origin=http://localhost:1"></iframe>'
    )
    guest.page.goto(shop.origin() + "/liar")
    expect(guest.widget.locator("#to")).to_be_visible()
    dark = guest.widget.locator("link[data-dark]").first
    before = dark.get_attribute("media")
    told = "(theme) => document.querySelector('iframe').contentWindow.postMessage(theme, '*')"
    guest.page.evaluate(told, {"kodgate": "theme", "scheme": "dark"})
    guest.page.wait_for_timeout(300)  # a message that is not heard announces nothing
    assert dark.get_attribute("media") == before

    guest.opens("/inline")
    gone = "const frame = document.querySelector('iframe'); frame.remove(); Kodgate.theme('dark');"
    guest.page.evaluate(gone)  # a page that is one program has gone on to another view
    guest.opens("/inline")
    guest.page.evaluate("Kodgate.theme('dark')")
    expect(guest.widget.locator("link[data-dark]").first).to_have_attribute("media", "all")


def test_a_token_of_another_login_is_refused_by_the_partner(guests: Guests, watch: Watch) -> None:
    watch.expects(400)
    guest = guests(DESKTOP)
    page = guest.page
    page.goto(guest.shop.origin() + "/promise")
    page.goto(guest.shop.origin() + "/done?verify_token=x&state=of-another-browser")
    expect(page.locator("h1")).to_have_text("This login was not begun here")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("key=pk_unknown", "Access denied"),
        ("key=sk_development", "is the secret key"),
        ("key=pk_development&flow=backwards", "must be sending-first or channel-first"),
        ("key=pk_development&origin=https://evil.example", "origin is not one of the project"),
        ("key=pk_development&return_to=https://evil.example/", "is not an address of this project"),
        ("key=pk_development&return_to=//evil.example/", "is not an address of this project"),
        ("key=pk_development&return_to=javascript:alert(1)", "is not an address of this project"),
        ("key=pk_development&return_to=https://shop.example@evil.example/", "is not an address of this project"),
        ("w=forged", "This session has expired"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said_in_it(
    guests: Guests, shop: Shop, stack: Stack, watch: Watch, query: str, words: str
) -> None:
    watch.expects(r"status of 4\d\d")
    guest = guests(DESKTOP)
    shop.pages["/wrong"] = f'<iframe title="Log in" src="{stack.web}/widget/?{query}"></iframe>'
    guest.page.goto(shop.origin() + "/wrong")
    expect(guest.widget.locator("h1")).to_have_text("Something is in the way")
    expect(guest.widget.locator(".lead")).to_contain_text(words)
    assert guest.widget.locator("a:not(.languages a), form").count() == 0


def test_storage_that_throws_and_a_clock_that_is_off_change_nothing(
    guests: Guests, stack: Stack, phone: str
) -> None:
    guest = guests(DESKTOP)
    guest.page.context.add_init_script(NOTHING_KEPT)
    guest.page.context.add_init_script(f"if (location.origin === '{stack.web}') {{ {TEN_MINUTES_FAST} }}")
    guest.opens("/modal")
    guest.gives(phone)
    guest.takes("sms")
    expect(guest.widget.locator(".way[value=sms] .wait")).to_contain_text("in ")
    guest.widget.locator("#code").fill(stack.code(phone))
    guest.is_greeted_as(phone)


NOTHING_KEPT = """for (const name of ["localStorage", "sessionStorage", "indexedDB", "caches"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
}"""
TEN_MINUTES_FAST = "const now = Date.now; Date.now = () => now() + 600_000;"


@pytest.mark.parametrize("accent", ["#ffee00", "#000000", "#ffffff", "#777777", "#d94a00"])
@pytest.mark.parametrize("scheme", ["light", "dark", "auto"])
def test_every_accent_stays_legible(guests: Guests, shop: Shop, stack: Stack, accent: str, scheme: str) -> None:
    guest = guests(DESKTOP, color_scheme="dark")
    shop.pages["/coloured"] = (
        f'<main><script src="{stack.web}/static/embed.js" data-key="pk_development" data-mode="inline" '
        f'data-accent="{accent}" data-theme="{scheme}" data-radius="2" async></script></main>'
    )
    guest.page.goto(shop.origin() + "/coloured")
    expect(guest.widget.locator("#to")).to_be_visible()
    expect(guest.page.locator("iframe")).not_to_have_attribute("style", "height: 27rem")
    guest.page.evaluate("() => document.fonts.ready")
    [frame] = guest.page.frames[1:]
    radius = frame.evaluate("() => getComputedStyle(document.querySelector('.primary')).borderRadius")
    ground = frame.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert radius == "2px"
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(25, 28, 47)")
    page = guest.page.context.new_page()
    page.goto(frame.url)
    assert violations(page) == []


# One tap is for the browser that began the login


def test_whoever_is_sent_the_page_s_address_sees_no_number_and_collects_nothing(
    guests: Guests, visits: Visits, stack: Stack, watch: Watch, phone: str
) -> None:
    watch.expects(410)
    stack.connect(phone)
    attacker = guests(DESKTOP)
    attacker.opens("/redirect")
    attacker.gives(phone)
    number = attacker.page.locator("#region-number .big").inner_text()

    lured = guests(DESKTOP).page
    lured.goto(attacker.page.url)
    expect(lured.locator("#code")).to_be_visible()
    expect(lured.locator("#region-delivery")).to_have_attribute("data-delivery", "sent")
    expect(lured.locator("#region-number .big")).to_have_count(0)

    chat = visits.chat(f"{stack.chat_url}?phone={phone[1:]}")
    attacker.page.goto("about:blank")  # so that only the other browser could collect
    chat.page.locator(".inline").get_by_text(number, exact=True).click()
    expect(lured.locator("main[data-over]")).to_have_attribute("data-over", "elsewhere")


def test_typing_the_same_number_again_leaves_one_tap_on(guests: Guests, stack: Stack, phone: str) -> None:
    stack.connect(phone)
    guest = guests(DESKTOP)
    guest.opens("/inline")
    guest.gives(phone)
    number = guest.widget.locator("#region-number .big").inner_text()
    press(guest.page, guest.widget.get_by_role("link", name="change"))
    guest.gives(phone)
    expect(guest.widget.locator("#region-number .big")).to_have_text(number)


def test_a_browser_that_keeps_no_cookie_gets_no_numbers_and_types_the_code(
    guests: Guests, visits: Visits, stack: Stack, phone: str
) -> None:
    stack.connect(phone)
    guest = guests(DESKTOP)
    guest.opens("/modal")
    guest.page.context.clear_cookies(name="kodgate_browser")
    guest.gives(phone)
    chat = visits.chat(f"{stack.chat_url}?phone={phone[1:]}")
    code = chat.code()
    expect(chat.page.locator(".inline .key")).to_have_count(1)
    expect(guest.widget.locator("#region-number .big")).to_have_count(0)
    guest.widget.locator("#code").fill(code)
    guest.is_greeted_as(phone)


def test_the_partner_s_own_css_may_say_the_looks(guests: Guests, shop: Shop, stack: Stack) -> None:
    guest = guests(DESKTOP)
    shop.pages["/styled"] = (
        "<style>:root { --kodgate-accent: #0b6b3a; --kodgate-radius: 3; --kodgate-theme: dark }</style>"
        f'<script src="{stack.web}/static/embed.js" data-key="pk_development" data-radius="5" async></script>'
    )
    guest.page.goto(shop.origin() + "/styled")
    button = guest.page.get_by_role("button", name="Log in")
    expect(button).to_have_css("background-color", "rgb(11, 107, 58)")
    expect(button).to_have_css("border-radius", "5px")
    button.click()
    expect(guest.widget.locator("body")).to_have_css("background-color", "rgb(25, 28, 47)")
    expect(guest.widget.locator(".primary")).to_have_css("border-radius", "5px")


def test_looks_that_can_t_be_had_keep_nobody_out_and_are_named_to_the_developer(
    guests: Guests, stack: Stack, watch: Watch
) -> None:
    watch.expects("Kodgate: theme must be")
    page = guests(DESKTOP).page
    wrong = "theme=pink&accent=red&radius=99&font=%3B}body{"
    with page.expect_console_message() as told:
        page.goto(f"{stack.web}/widget/?key=pk_development&{wrong}")
    for name in ("theme must", "accent must", "radius must", "font must"):
        assert name in told.value.text
    expect(page.locator("#to")).to_be_visible()
    assert page.locator("style").count() == 0
