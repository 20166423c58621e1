"""What other pages make a visitor's browser do: forms, frames, ways back, headers, keys in strangers' pages."""

import itertools
from urllib.parse import quote, urljoin, urlsplit

import httpx

from tests.attack.outcome import Outcome
from tests.attack.site import Target, new_address, new_phone
from tests.test_hardening import FORMS

FOREIGN, FRAMED = "foreign forms (CSRF)", "clickjacking, injected script"
WAY_BACK, HEADERS = "open redirects", "header injection"
STRANGERS = "a page of a stranger uses a public key"
OWN = "https://shop.test"
PAGES = (
    "/",
    "/profile",
    "/docs",
    "/login",
    "/openapi.json",
    "/healthz",
    "/static/embed.js",
    "/nothing",
    "/session/nothing",
)
RETURNS = (
    "https://evil.test", "//evil.test", "///evil.test", "////evil.test", "/\\evil.test", "\\\\evil.test",
    "https:evil.test",
    "https:/evil.test", "https:///evil.test", "http://shop.test", "https://shop.test.evil.test", "https://shop.test@evil.test",
    "https://shop.test:1@evil.test/", "https://evil.test#https://shop.test", "https://evil.test?https://shop.test",
    "https://evil.test\\@shop.test", "https://shop.test\\.evil.test", "https://shop.test%2eevil.test", "https://shop.test%00.evil.test",
    "https://evil.test%2f@shop.test", "https://shop.test\t.evil.test", "\thttps://evil.test", " https://evil.test",
    "/%09/evil.test", "/%2f/evil.test", "/%5cevil.test", "/\t/evil.test", "/./\\evil.test", "javascript:alert(1)",
    "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://shop.test/x", "https://shop。test.evil.test",
    "https://evil.test\uff0f.shop.test", "https://shop.test\r\nlocation: https://evil.test", "https://[::ffff:7f00:1]/",
    "https://127.0.0.1/", "https://localhost/", "ftp://shop.test/", "https://", "https://?", "https://.shop.test",
    "https://xshop.test", "https://shop.test:8443/", "file:///etc/passwd", "//shop.test@evil.test",
)  # fmt: skip


def foreign_forms(target: Target) -> Outcome:
    """Every form, as another site's page would post it; and without a state that we signed."""
    through = times = 0
    for path, whose in itertools.product(FORMS, ("cross-site", "same-site")):
        for origin in ({}, {"origin": "https://evil.test"}, {"referer": target.site.web}):
            answer = target.site.http.post(target.site.web + path, headers={"sec-fetch-site": whose, **origin})
            through += answer.status_code != 403
            times += 1
    for path in FORMS:
        for state in ("", "nonsense", "a.b.c", target.token()):
            answer = target.site.http.post(target.site.web + path, data={"w": state})
            through += path != "/logout" and answer.status_code != 410
            times += 1
    return Outcome(FOREIGN, "every form from another site, and without our state", times, through)


def frames(target: Target) -> Outcome:
    """Whether any page could be shown in a stranger's frame, or run an inline script."""
    through = times = 0
    key = target.public["x-api-key"]
    strange = {"origin": "https://evil.test"}
    for path in (*PAGES, f"/widget/?key={key}", f"/widget/?key={key}&lang=ru", "/widget/?key=nobody"):
        for headers in ({}, {"sec-fetch-dest": "iframe", "referer": "https://evil.test/"}):
            answer = target.site.http.get(target.site.web + path, headers=headers)
            policy = answer.headers.get("content-security-policy", "")
            framed = next((part for part in policy.split(";") if "frame-ancestors" in part), "")
            through += "evil" in framed or ("*" in framed and answer.status_code == 200) or not framed
            through += "'unsafe-inline'" in policy.partition("script-src")[2].partition(";")[0]
            through += answer.headers.get("x-content-type-options") != "nosniff"
            times += 3
    for path in ("/widget/", "/widget/start"):
        answer = target.site.http.get(target.site.web + path, params={"key": key, **strange})
        through += answer.status_code == 200
        times += 1
    return Outcome(FRAMED, "every page in a stranger's frame, its policy and type", times, through)


def markup(target: Target) -> Outcome:
    """Markup in every field that a page shows again."""
    through = times = 0
    signs = ('"><script>evil()</script>', "'-evil()-'", "</title><svg/onload=evil()>", "{{7*7777}}", "${7*7777}")
    key = target.public["x-api-key"]
    for sign in signs:
        for name in (
            "state",
            "return_to",
            "lang",
            "tz",
            "flow",
            "origin",
            "accent",
            "theme",
            "key",
            "colour",
            "radius",
        ):
            parameters = {"key": key} | {name: sign}
            text = target.site.http.get(f"{target.site.web}/widget/", params=parameters).text
            through += sign in text if "<" in sign or "'" in sign else "54439" in text
            times += 1
        page = target.site.http.get(f"{target.site.web}/widget/", params={"key": key}).text
        form = {"w": _state(page), "to": sign}
        text = target.site.http.post(f"{target.site.web}/widget/start", data=form).text
        through += sign in text if "<" in sign or "'" in sign else "54439" in text
        times += 1
    return Outcome(FRAMED, "markup and templates in every field", times, through)


def ways_back(target: Target) -> Outcome:
    """`return_to` in all the spellings that have ever fooled somebody; `target` allows https://shop.test alone.

    Where one is taken, a login is played to its end: what counts is where the browser is sent.
    """
    through, times, key = 0, 0, target.public["x-api-key"]
    ours = {urlsplit(target.site.web).netloc, urlsplit(OWN).netloc}
    for address in RETURNS:
        for written in {address, quote(address, safe="")}:
            url = f"{target.site.web}/widget/?key={key}&return_to={quote(written, safe='')}"
            answer = target.site.http.get(url)
            through += "evil" in answer.headers.get("location", "")
            through += "evil" in answer.headers.get("content-security-policy", "")
            if answer.status_code == 200:
                through += _leads_to(target, url) not in ours
            times += 1
    assert _leads_to(target, f"{target.site.web}/widget/?key={key}&return_to={OWN}/done") == "shop.test"
    for path in (
        "//evil.test",
        "//evil.test/..",
        "/\\evil.test",
        "/%5cevil.test",
        "/login?next=https://evil.test",
    ):
        answer = target.site.http.get(target.site.web + path)
        through += urlsplit(urljoin(target.site.web, answer.headers.get("location", "/"))).netloc not in ours
        times += 1
    return Outcome(WAY_BACK, "return_to in the spellings that fool parsers, and paths", times, through)


def _leads_to(target: Target, url: str) -> str:
    """The host to which a browser is sent at the end of a login that began at this address."""
    with httpx.Client(base_url=target.site.web, headers={"x-forwarded-for": new_address()}, timeout=30) as browser:
        phone = new_phone()
        form = {"w": _state(browser.get(url).text), "to": phone, "by": "phone"}
        page = browser.post("/widget/start", data=form, follow_redirects=True)
        session_id = target.create(phone)["session_id"]
        form = {"w": _state(page.text), "code": target.site.code_of(session_id)}
        end = browser.post("/widget/check", data=form)
        assert end.status_code == 303, end.text
        return urlsplit(urljoin(target.site.web, end.headers["location"].replace("\\", "/"))).netloc


def _state(page: str) -> str:
    return page.partition('name="w" value="')[2].partition('"')[0]


def injected_headers(target: Target) -> Outcome:
    """Line ends in whatever may come back in a header."""
    through = times = 0
    key = target.public["x-api-key"]
    for end in ("\r\n", "\n", "\r", "\u560d\u560a", "\u2028", "%0d%0a"):
        sign = f"x{end}x-evil: 1{end}set-cookie: evil=1"
        for url in (
            f"/?lang={quote(sign)}",
            f"/widget/?key={key}&return_to={quote(f'{OWN}/{sign}')}",
            f"/widget/?key={key}&state={quote(sign)}&lang={quote(sign)}",
            f"/static/{quote(sign)}",
            f"/{quote(sign)}",
            f"/session/{quote(sign)}",
        ):
            answer = target.site.http.get(target.site.web + url, follow_redirects=False)
            through += "x-evil" in answer.headers or "evil" in answer.headers.get("set-cookie", "")
            times += 1
    return Outcome(HEADERS, "line ends in addresses, languages, states, ways back", times, through)


def strangers_pages(target: Target) -> Outcome:
    """A page of an origin that is not the project's, with its public key, and with its secret one."""
    through = times = 0
    for origin in (
        "https://evil.test",
        "null",
        f"{OWN}.evil.test",
        f"{OWN}:8443",
        "http://shop.test",
        "https://xshop.test",
    ):
        for keys in (target.public, target.secret):
            answer = target.post("create", {"to": new_phone(), "send": False}, **keys, origin=origin)
            through += "access-control-allow-origin" in answer.headers and answer.status_code != 401
            through += keys is target.public and answer.status_code == 200
            times += 1
    good = target.post("create", {"to": new_phone(), "send": False}, origin=OWN)
    assert good.headers["access-control-allow-origin"] == OWN
    return Outcome(STRANGERS, "create by pages of other origins", times, through)


def keys(target: Target) -> Outcome:
    """No key, a changed one, the public one where the secret is needed."""
    through, times, secret, token = 0, 0, target.secret["x-api-key"], target.token()
    for key in ("", "x", secret[:-1], f"{secret}x", secret.swapcase(), target.public["x-api-key"], "' OR 1=1 --"):
        for path in ("/manual/send", "/session/verify", "/v2/verify", "/api/v2/message/verify", "/manual/send/"):
            body = {"to": new_phone(), "channel": "sms", "type": "sms", "verify_token": token}
            answer = httpx.post(target.site.web + path, json=body, headers={"x-api-key": key} if key else {})
            through += answer.status_code == 200
            times += 1
    return Outcome(
        "keys that are not enough", "none, changed, the public one for the secret's verbs", times, through
    )
