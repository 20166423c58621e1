"""The widget's pages as a partner's address asks for them: whose frame, which language, and the way back."""

import base64
from collections.abc import Iterator
from html import escape
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from gateway import errors
from gateway.local import LocalGateway
from gateway.store import open_store
from tests.servers import Servers, until
from tests.world import World, new_phone
from web.assets import Assets
from web.cors import is_listed
from web.pages import make_site

ORIGINS = ("https://shop.test", "https://*.example.com", "https://*.example.org:8443")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """web alone; the first project's origins are `ORIGINS`."""
    with Servers(tmp_path_factory.mktemp("widget"), ("web",)) as servers:
        store = open_store(servers.database_url)
        [project] = store.projects()
        store.change_project(project.id, msgspec.structs.replace(project.settings, origins=ORIGINS))
        store.close()
        until(lambda: opens(servers, origin="https://shop.test").status_code == 200, "web knows of the origins")
        yield servers


def opens(site: Servers, **parameters: str) -> httpx.Response:
    return httpx.get(f"{site.web}/widget/", params={"key": "pk_development", **parameters})


def token(page: str) -> str:
    return page.split('name="w" value="')[1].split('"')[0]


def logged_in(site: Servers, **parameters: str) -> tuple[str, str]:
    """Where a login ends: as the browser is sent there, and as the script is told."""
    ends = []
    for headers in ({}, {"X-Kodgate-Script": "1"}):
        with httpx.Client(base_url=site.web) as browser:
            page = browser.get("/widget/", params={"key": "pk_development", **parameters})
            assert page.status_code == 200, page.text
            phone = new_phone()
            form = {"w": token(page.text), "to": phone, "by": "phone"}
            page = browser.post("/widget/start", data=form, follow_redirects=True)
            code = site.code_of(site.create(phone)["session_id"])
            form = {"w": token(page.text), "code": code}
            done = browser.post("/widget/check", data=form, headers=headers)
            ends.append(done.headers["x-kodgate-location" if headers else "location"])
    return ends[0], ends[1]


def test_an_account_that_is_asked_too_often_takes_no_page_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so in the middle of a login, whose page the script keeps, and which others can load again."""
    browser = make_site(world.gateway, world.settings, Assets(reload=False)).test_client()
    page = browser.get("/widget/?key=pk_development").text
    sent = browser.post("/widget/start", data={"w": token(page), "to": new_phone(), "by": "phone"})
    address = sent.headers["location"]
    assert 'name="code"' in browser.get(address).text

    def asked_too_often(*_: object) -> None:
        raise errors.TooOften(7)

    monkeypatch.setattr(LocalGateway, "progress", asked_too_often)
    said = browser.get(address)
    assert (said.status_code, said.headers["retry-after"]) == (429, "7")
    assert f'href="{escape(address)}"' in said.text
    posted = browser.post("/widget/check", data={"w": parse_qs(urlsplit(address).query)["w"][0], "code": "1"})
    assert posted.status_code == 429
    assert 'href="/widget/code?w=' in posted.text


# Languages


@pytest.mark.parametrize("path", ["/", "/widget/?key=pk_development", "/docs", "/nothing-here"])
@pytest.mark.parametrize("asked", ["fr", "%00", "xx-YY", "-", "fr,it"])
def test_a_language_that_is_none_of_ours_is_passed_over(site: Servers, path: str, asked: str) -> None:
    address = f"{site.web}{path}{'&' if '?' in path else '?'}lang={asked}"
    for spoken, shown in (("fr", "en"), ("ru", "ru")):
        answer = httpx.get(address, headers={"accept-language": spoken})
        assert answer.status_code == (404 if "nothing" in path else 200)
        assert answer.headers["content-language"] == shown
        assert "kodgate_lang" not in answer.headers.get("set-cookie", "")


# Origins


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test/.example.com",
        "https://evil.test/x.example.com",
        "https://evil.test?.example.com",
        "https://evil.test#.example.com",
        "https://evil.test:80.example.com",
        "https://evil.test:80@a.example.com",
        "https://a;sandbox;.example.com",
        "https://a,b.example.com",
        "https://[::1].example.com",
        'https://"><b>.example.com',
        "https://a b.example.com",
        "https://%2f.example.com",
        "https://a.example.com:٨",
        f"https://{'a' * 250}.example.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://a.example.org",
        "https://example.com",
        "https://.evil.test",
        "null",
        "",
    ],
)
def test_what_only_looks_like_a_listed_origin_is_none(site: Servers, origin: str) -> None:
    assert not is_listed(origin, ORIGINS)
    if origin:
        assert opens(site, origin=origin).status_code == 403
        assert opens(site, return_to=f"{origin}/done").status_code == 400


@pytest.mark.parametrize(
    "origin",
    ["https://shop.test", "https://a.example.com", "https://a-b.c_d.example.com", "https://a.example.org:8443"],
)
def test_a_listed_origin_may_show_the_widget_and_be_returned_to(site: Servers, origin: str) -> None:
    assert opens(site, origin=origin).status_code == 200
    assert opens(site, return_to=f"{origin}/done").status_code == 200


# The way back


@pytest.mark.parametrize(
    "return_to",
    [
        "http:/evil.test",
        "https:evil.test",
        "https:///evil.test",
        "//evil.test",
        "////evil.test",
        "/\\evil.test",
        "/\t/evil.test",
        "\t//evil.test",
        "\x01//evil.test",
        "https://shop.test\\@evil.test/",
        "https://shop.test@evil.test/",
        "https://@shop.test/",
        "https://shop.test:99999999/",
        "https://evil.test\uff0f.example.com/",
        "https://[/",
        "javascript:alert(1)",
        "done",
        "https://shop.test/#there",
        "https://shop.test/" + "a" * 1000,
        "https://shop.test/" + "я" * 200,
    ],
)
def test_where_a_login_may_not_return_to(site: Servers, return_to: str) -> None:
    answer = opens(site, return_to=return_to)
    assert answer.status_code == 400
    assert "is not an address of this project" in answer.text


@pytest.mark.parametrize(
    ("return_to", "begins"),
    [
        ("https://shop.test/кабинет?кто=я", "https://shop.test/%D0%BA%D0%B0%D0%B1%D0%B8%D0%BD%D0%B5%D1%82?"),
        ("https://shop.test/\x85", "https://shop.test/%C2%85?"),
        ("https://пример.example.com/", "https://xn--e1afmkfd.example.com/?"),
        ("https://shop.test/#", "https://shop.test/?"),
        ("https://shop.test", "https://shop.test?"),
        ("/demo/done?", "/demo/done?"),
    ],
)
def test_an_address_is_written_as_browsers_and_headers_want_it(site: Servers, return_to: str, begins: str) -> None:
    for end in logged_in(site, return_to=return_to, state="сам"):
        assert end.isascii()
        assert end.startswith(begins)
        assert parse_qs(urlsplit(end).query)["state"] == ["сам"]


@pytest.mark.parametrize("flow", ["sending-first", "channel-first"])
def test_the_first_page_lets_the_last_form_lead_back(site: Servers, flow: str) -> None:
    page = opens(site, return_to="https://shop.test/done", flow=flow)
    assert "form-action 'self' https://shop.test;" in page.headers["content-security-policy"]
    assert "form-action 'self';" in opens(site, flow=flow).headers["content-security-policy"]


@pytest.mark.parametrize("spelt", ["verify_token=old&state=old", "verify%5Ftoken=old&st%61te=old&%76erify_token"])
def test_what_the_address_held_of_a_former_login_makes_room(site: Servers, spelt: str) -> None:
    former = f"https://shop.test/done?a=1&{spelt}&b=%20"
    for end in logged_in(site, return_to=former, state="mine"):
        query = parse_qs(urlsplit(end).query, keep_blank_values=True)
        assert query.pop("verify_token") not in ([], ["old"])
        assert query == {"a": ["1"], "b": [" "], "state": ["mine"]}


def test_a_state_comes_back_whole_or_is_refused(site: Servers) -> None:
    whole = "я" * 500
    for end in logged_in(site, return_to="https://shop.test/", state=whole):
        assert parse_qs(urlsplit(end).query)["state"] == [whole]
    answer = opens(site, return_to="https://shop.test/", state=whole + "!")
    assert answer.status_code == 400
    assert "is too long" in answer.text


# The contact that a partner knows already


@pytest.mark.parametrize(
    ("given", "shown", "kind"),
    [
        ("+7 952 296-62-36", "952 296-62-36", "tel"),
        (" 79522966236", "952 296-62-36", "tel"),
        ("+4915123456789", "1512 3456789", "tel"),
        ("Ann@Example.com", "ann@example.com", "email"),
    ],
)
@pytest.mark.parametrize("flow", ["sending-first", "channel-first"])
def test_a_contact_that_the_partner_knows_stands_in_the_field(
    site: Servers, given: str, shown: str, kind: str, flow: str
) -> None:
    with httpx.Client(base_url=site.web, follow_redirects=True) as browser:
        page = browser.get("/widget/", params={"key": "pk_development", "to": given, "flow": flow})
        if flow == "channel-first":
            chosen = "email" if kind == "email" else "sms"
            page = browser.post("/widget/channels", data={"w": token(page.text), "type": chosen})
        field = page.text.split('<input id="to"')[1].split(">")[0]
        assert f'type="{kind}"' in field
        if kind == "tel":  # beside its country's code
            assert f'name="region" value="{"DE" if "1512" in shown else "RU"}"' in page.text
        assert f'value="{shown}"' in field
        other = browser.get(
            "/widget/", params={"w": token(page.text), "by": "phone" if kind == "email" else "email"}
        )
        if flow == "sending-first":
            assert 'value=""' in other.text.split('<input id="to"')[1].split(">")[0], "it is for the other field"


def test_once_the_code_is_sent_no_address_holds_the_contact(site: Servers) -> None:
    phone = new_phone()
    with httpx.Client(base_url=site.web, follow_redirects=True) as browser:
        page = browser.get("/widget/", params={"key": "pk_development", "to": phone})
        assert phone.encode() in _body_of(token(page.text))
        shown = page.text.split('<input id="to"')[1].split('value="')[1].split('"')[0]
        form = {"w": token(page.text), "to": shown, "by": "phone", "region": "RU"}
        page = browser.post("/widget/start", data=form)
        assert page.url.path == "/widget/code", "it is read as it stands in the field"
        assert phone.encode() not in _body_of(token(page.text))


def _body_of(signed: str) -> bytes:
    body = signed.split(".")[0]
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))


@pytest.mark.parametrize("given", ["12", "+7952", "ann@", "<b>", "+" + "9" * 300])
def test_a_contact_that_nobody_could_log_in_with_is_left_out_and_the_developer_told(
    site: Servers, given: str
) -> None:
    page = opens(site, to=given)
    assert page.status_code == 200
    assert 'value=""' in page.text.split('<input id="to"')[1].split(">")[0]
    assert 'data-complaints="to ' in page.text
