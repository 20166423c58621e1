"""whatsapp-cloud://: the contract, the template, what Meta's errors mean, its webhooks and its greeting."""

import itertools
import json
from typing import Any

import httpx
import msgspec
import pytest

from gateway.channels import Channel
from gateway.providers import (
    ForgedReport,
    PermanentError,
    Report,
    Reporting,
    SendError,
    TransientError,
    WrongProviderUrl,
    make_provider,
)
from gateway.providers.whatsapp_cloud import WhatsAppCloudProvider, open_provider
from tests.misbehaving import Answer, drops, hangs, html, says
from tests.providers.contract import MESSAGE, NO_REPORT, TIMEOUT, Contract, checked, options, run_with
from tests.providers.double import Double
from tests.providers.double_whatsapp_cloud import (
    ACCEPTED,
    NUMBER,
    WAMID,
    refuses,
    sign_report,
    whatsapp_cloud_double,
)

ID = "106540352242922"
TOKEN = "EAAJBtOkEn0fThEsHoP"
SECRET = "6a1f0c2e9b7d4583"
BY_WHATSAPP = msgspec.structs.replace(MESSAGE, channel=Channel.WHATSAPP)


def waits_seven(handler: Any) -> None:
    error = {"message": "(#130429) Rate limit hit", "type": "OAuthException", "code": 130429}
    handler.answer(429, json.dumps({"error": error}).encode(), **{"retry-after": "7"})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("messages", {}),
        ("messages", {"to": 7, "template": []}),
        ("messages", {"to": "+79522966236", "type": "template", "template": {"name": "login_code"}}),
        ("elsewhere", {}),
    ],
)
def test_the_double_refuses_what_meta_would(path: str, body: Any) -> None:
    with whatsapp_cloud_double(ID, TOKEN, says(ACCEPTED)) as double:
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        answer = httpx.post(f"{double.url}/v25.0/{ID}/{path}", json=body, headers=headers)
        assert answer.status_code == 400
        assert httpx.get(f"{double.url}/v25.0/{ID}").status_code == 400
        assert len(double.wrong) == 2


class TestWhatsAppCloud(Contract):
    reference = WAMID
    refuses_for_good = refuses(131026)
    limits = waits_seven
    secret = TOKEN
    message = BY_WHATSAPP

    def make_double(self) -> Double:
        return whatsapp_cloud_double(ID, TOKEN, says(ACCEPTED))

    def url(self, base: str) -> str:
        return f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?lang=en:en_US&api={base}"

    def test_the_code_is_in_the_body_and_in_the_button(self, double: Double) -> None:
        self.send(double)
        [(_, path, _, body)] = double.seen
        assert path == f"/v25.0/{ID}/messages"
        assert body["to"] == "+79522966236"
        assert body["template"] == {
            "name": "login_code",
            "language": {"code": "en_US"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "482173"}]},
                {
                    "type": "button",
                    "sub_type": "url",
                    "index": "0",
                    "parameters": [{"type": "text", "text": "482173"}],
                },
            ],
        }

    @pytest.mark.parametrize(
        ("given", "lang", "asked"),
        [
            ("", "en", "en"),
            ("", "ru", "ru"),
            ("&lang=en:en_US", "en", "en_US"),
            ("&lang=en:en_US", "ru", "ru"),
            ("&lang=en:en_GB,*:ru", "en", "en_GB"),
            ("&lang=en:en_GB,*:ru", "uk", "ru"),
            ("&lang=*:en_US", "ru", "en_US"),
        ],
    )
    def test_the_template_is_asked_for_in_the_messages_language(
        self, double: Double, given: str, lang: str, asked: str
    ) -> None:
        url = f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?api={double.url}{given}"
        message = msgspec.structs.replace(BY_WHATSAPP, lang=lang)
        run_with(make_provider(url, Channel.WHATSAPP, options()), message)
        assert double.seen[0][3]["template"]["language"] == {"code": asked}

    def test_a_code_that_is_too_long_is_not_sent(self, double: Double) -> None:
        longest, too_long = (msgspec.structs.replace(BY_WHATSAPP, code="A" * length) for length in (15, 16))
        run_with(self.open(double), longest)
        with pytest.raises(PermanentError, match="15 characters"):
            run_with(self.open(double), too_long)
        assert len(double.seen) == 1

    @pytest.mark.parametrize("code", [131026, 131021, 131030, 130497, 132000, 132001, 132015, 132999, 100, 131009])
    @pytest.mark.parametrize("status", [400, 403])
    def test_faults_of_the_recipient_or_the_template_are_final(
        self, double: Double, code: int, status: int
    ) -> None:
        double.does = refuses(code, status)
        assert str(code) in str(self.refusal(double, PermanentError))

    @pytest.mark.parametrize("code", [131026, 132001])
    def test_the_code_counts_more_than_the_status(self, double: Double, code: int) -> None:
        double.does = refuses(code, 500, is_transient=True)
        self.refusal(double, PermanentError)

    @pytest.mark.parametrize(
        ("code", "status", "wait"),
        [
            (130429, 429, None),
            (131048, 429, None),
            (131056, 429, 6.0),
            (131056, 400, 6.0),
            (80007, 429, None),
            (4, 400, None),
            (190, 401, None),
            (0, 401, None),
            (3, 500, None),
            (10, 403, None),
            (200, 403, None),
            (299, 403, None),
            (368, 403, None),
            (131031, 403, None),
            (131042, 400, None),
            (1, 400, None),
            (2, 503, None),
            (131000, 500, None),
            (131016, 500, None),
            (999999, 500, None),
            (999999, 429, None),
        ],
    )
    def test_what_passes_or_is_the_operators_to_mend_is_tried_again(
        self, double: Double, code: int, status: int, wait: float | None
    ) -> None:
        double.does = refuses(code, status)
        refused = self.refusal(double, TransientError)
        assert isinstance(refused, TransientError)
        assert refused.retry_after == wait
        assert str(code) in str(refused)

    def test_an_error_that_meta_calls_transient_is(self, double: Double) -> None:
        double.does = refuses(999999, is_transient=True)
        self.refusal(double, TransientError)
        double.does = refuses(999999, is_transient=False)
        self.refusal(double, PermanentError)

    @pytest.mark.parametrize(
        "said",
        [
            {},
            [],
            None,
            "sent",
            {"messages": []},
            {"messages": [WAMID]},
            {"messages": [{"id": 7}]},
            {"messages": [{"id": ""}]},
            {"messages": {"id": WAMID}},
            {"error": "no"},
            {"error": {"code": "131026"}},
            {"error": {"code": None}},
        ],
    )
    @pytest.mark.parametrize("status", [200, 400])
    def test_nonsense_is_transient(self, double: Double, said: Any, status: int) -> None:
        double.does = says(said, status)
        self.refusal(double, TransientError)

    def test_checking_asks_for_the_numbers_name(self, double: Double) -> None:
        double.does = says(NUMBER)
        assert checked(make_provider(f"{self.url(double.url)}&secret={SECRET}", Channel.WHATSAPP, options())) == (
            "Shop, quality GREEN"
        )
        assert "no delivery reports" in checked(self.open(double))
        double.does = says({"verified_name": "S\x1b[2Jh\no\u202ep" + "x" * 999, "quality_rating": 7})
        assert checked(self.open(double)).startswith("S[2Jhopxxx")
        assert "quality unknown" in checked(self.open(double))
        assert [method for method, _, _, _ in double.seen] == ["GET"] * 4

    @pytest.mark.parametrize(
        "answer", [refuses(190, 401), refuses(100), html(), drops, hangs(TIMEOUT * 2), says([])]
    )
    def test_checking_tells_what_is_wrong(self, double: Double, answer: Answer) -> None:
        double.does = answer
        with pytest.raises(SendError) as refused:
            checked(self.open(double))
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "whatsapp-cloud://graph.facebook.com/login_code",
        f"whatsapp-cloud://{ID}@graph.facebook.com/login_code",
        f"whatsapp-cloud://{TOKEN}@graph.facebook.com/login_code",
        f"whatsapp-cloud://{TOKEN}:{ID}@graph.facebook.com/login_code",
        f"whatsapp-cloud://{ID}:{TOKEN}%0a@graph.facebook.com/login_code",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/v25.0/login_code",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/Login-Code",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com:99999/login_code",
        f"whatsapp-cloud://{ID}:{TOKEN}@/login_code",
        f"whatsapp-cloud://{ID}:{TOKEN}@[/login_code",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?lang=en_US",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?lang=en:en_US,",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?version=25",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?secret=",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?{TOKEN}",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?token={TOKEN}",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code?api=graph.facebook.com",
        f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code#part",
    ],
)
def test_a_wrong_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(WrongProviderUrl, match="whatsapp-cloud://PHONE_NUMBER_ID:") as refused:
        open_provider(url, options())
    assert TOKEN not in str(refused.value)
    assert ID not in str(refused.value)


def test_it_serves_whatsapp_only() -> None:
    with pytest.raises(WrongProviderUrl, match="can't send by sms"):
        make_provider(f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code", Channel.SMS, options())


def test_the_url_says_where_meta_is() -> None:
    plain = f"whatsapp-cloud://{ID}:{TOKEN}@Graph.facebook.com:8443/login_code"
    assert open_provider(plain, options())._number == f"https://Graph.facebook.com:8443/v25.0/{ID}"
    other = f"{plain}?version=v99.1&api=http://127.0.0.1:9/meta/"
    assert open_provider(other, options())._number == f"http://127.0.0.1:9/meta/v99.1/{ID}"


# Reports


def provider(more: str = f"?secret={SECRET}&verify=our%20token") -> WhatsAppCloudProvider:
    return open_provider(f"whatsapp-cloud://{ID}:{TOKEN}@graph.facebook.com/login_code{more}", options())


def status(state: str, reference: str = WAMID, **more: Any) -> dict[str, Any]:
    return {"id": reference, "status": state, "timestamp": "1761640000", "recipient_id": "79522966236", **more}


def notice(*values: Any) -> bytes:
    """What Meta posts: a change for each of the values."""
    changes = [{"field": "messages", "value": value} for value in values]
    told = {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": changes}]}
    return json.dumps(told).encode()


def statuses(*every: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881", "phone_number_id": ID}
    return {"messaging_product": "whatsapp", "metadata": metadata, "statuses": list(every)}


def told(body: bytes, secret: str = SECRET) -> list[Report]:
    return provider().reports(sign_report(secret, body), body)


UNDELIVERABLE = {
    "code": 131026,
    "title": "Message undeliverable",
    "message": "Message undeliverable",
    "error_data": {"details": "79522966236 is no WhatsApp number"},
}


def test_each_status_is_read() -> None:
    assert isinstance(provider(), Reporting)
    expected = {
        "sent": [],
        "delivered": [Report(WAMID, "delivered")],
        "read": [Report(WAMID, "delivered")],
        "played": [],
        "failed": [Report(WAMID, "failed", "WhatsApp did not say why")],
        "something new": [],
    }
    assert {state: told(notice(statuses(status(state)))) for state in expected} == expected


def test_a_failure_has_a_reason_without_the_visitor() -> None:
    [report] = told(notice(statuses(status("failed", errors=[UNDELIVERABLE]))))
    assert report == Report(WAMID, "failed", "WhatsApp error 131026: the recipient can't be reached by WhatsApp")
    [report] = told(notice(statuses(status("failed", errors=[{"code": 999999, "title": "79522966236"}]))))
    assert report.error == "WhatsApp error 999999: the message is refused"


def test_several_reports_come_at_once_and_strange_ones_spoil_none() -> None:
    body = notice(
        statuses(status("delivered", "wamid.1"), status("failed", "wamid.2", errors=[UNDELIVERABLE])),
        {"messaging_product": "whatsapp", "messages": [{"id": "wamid.3", "text": {"body": "hello"}}]},
        "nothing",
        statuses(7, None, {"id": 7, "status": "read"}, {"status": "read"}, {"id": "wamid.4"}),
        {"statuses": "read"},
        statuses(status("failed", "wamid.5", errors=["no", {}]), status("read", "wamid.6")),
    )
    assert [(report.reference, report.state) for report in told(body)] == [
        ("wamid.1", "delivered"),
        ("wamid.2", "failed"),
        ("wamid.5", "failed"),
        ("wamid.6", "delivered"),
    ]


def test_reports_are_read_in_any_order_and_more_than_once() -> None:
    for order in itertools.permutations(("sent", "delivered", "read")):
        apart = [report for state in order for report in told(notice(statuses(status(state))))]
        together = told(notice(statuses(*(status(state) for state in order))))
        assert apart == together == [Report(WAMID, "delivered")] * 2


def test_the_published_recipe_is_followed() -> None:
    """The signature by openssl: HMAC of the body with the app's secret."""
    body = b'{"entry":[{"changes":[{"value":{"statuses":[{"id":"w","status":"read"}]}}]}]}'
    headers = {"x-hub-signature-256": "sha256=54222e06f7eaf5bd563324c196a5359bd11ded129ea93b5ed93f8dd043fc4a54"}
    assert provider().reports(headers, body) == [Report("w", "delivered")]


def test_a_forged_report_is_refused() -> None:
    body = notice(statuses(status("read")))
    right = sign_report(SECRET, body)["x-hub-signature-256"]
    for headers in (
        {},
        {"x-hub-signature-256": ""},
        {"x-hub-signature-256": right.removeprefix("sha256=")},
        {"x-hub-signature-256": "sha256=" + "0" * 64},
        {"x-hub-signature-256": "sha256=подпись"},
        {"x-hub-signature-256": "\udcff"},
        {"x-hub-signature": right},
        sign_report("another secret", body),
        sign_report("", body),
        sign_report(SECRET, notice(statuses(status("failed")))),
    ):
        with pytest.raises(ForgedReport):
            provider().reports(headers, body)


@pytest.mark.parametrize("secret", ["", SECRET])
def test_without_the_apps_secret_no_report_is_believed(secret: str) -> None:
    body = notice(statuses(status("read")))
    with pytest.raises(ForgedReport):
        provider("").reports(sign_report(secret, body), body)


@pytest.mark.parametrize(
    "body",
    [
        *NO_REPORT,
        b'{"entry": {}}',
        b'{"entry": [[]]}',
        b'{"entry": [{"changes": null}]}',
        b'{"entry": [{"changes": ["read"]}]}',
        b'{"entry": [{"changes": [{}, {"value": []}]}]}',
    ],
)
def test_nonsense_that_is_signed_reports_nothing(body: bytes) -> None:
    assert told(body) == []


def test_meta_is_greeted_by_its_token() -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": "our token", "hub.challenge": "1158201444"}
    assert provider().greeting(asked) == "1158201444"
    for wrong in (
        {},
        asked | {"hub.verify_token": "another"},
        asked | {"hub.verify_token": ""},
        asked | {"hub.verify_token": "\udcff"},
        asked | {"hub.mode": "unsubscribe"},
        {name: value for name, value in asked.items() if name != "hub.challenge"},
    ):
        assert provider().greeting(wrong) is None
    assert provider("").greeting(asked) is None
    assert provider("").greeting(asked | {"hub.verify_token": ""}) is None
