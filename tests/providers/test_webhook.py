"""webhook+http(s)://: the contract, the signature, and what the operator's sender may say."""

import json
import logging
import time
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.channels import Channel
from gateway.ids import new_ulid
from gateway.providers import (
    ForgedReport,
    Report,
    Reporting,
    TransientError,
    WrongProviderUrl,
    make_provider,
    storable,
)
from gateway.providers.webhook import WebhookProvider
from gateway.signing import SIGNATURE_HEADER, sign
from tests.misbehaving import Misbehaving, says
from tests.providers.contract import MESSAGE, Contract, asks_to_wait, checked, options, run_with
from tests.providers.double import Double
from tests.providers.double_webhook import webhook_double
from tests.world import START, TestClock

KEY = b"the sender's key"
NOW = START // 1000


class TestWebhook(Contract):
    reference = "sms-1"
    accepts = says({"reference": "sms-1"})
    refuses_for_good = says({"error": "no such number"}, 422)
    limits = asks_to_wait("7")
    secret = KEY.decode()
    html_is_taken = True

    def make_double(self) -> Double:
        return webhook_double(KEY, round(time.time()), type(self).accepts)

    def url(self, base: str) -> str:
        return f"webhook+{base}/send?from=kodgate#secret=the%20sender's%20key"

    def test_the_body_is_what_it_always_was(self, double: Double) -> None:
        self.send(double)
        [(method, _, _, body)] = double.seen
        assert method == "POST"
        assert body == {
            "message_id": 41,
            "channel": "sms",
            "to": "+79522966236",
            "code": "482173",
            "text": MESSAGE.text,
            "lang": "en",
            "project": "Shop",
        }

    def test_a_repeat_is_known_by_its_key_and_another_message_of_that_number_by_another(
        self, double: Double
    ) -> None:
        """A sender keeps its keys, while a database that is restored from a copy repeats its numbers."""
        mine = replace(MESSAGE, session_id=new_ulid(START))
        changes: list[dict[str, Any]] = [
            {"session_id": new_ulid(START)},
            {"channel": Channel.VIBER},
            {"code": "000000"},
        ]
        run_with(self.open(double), mine, mine, *(replace(mine, **changed) for changed in changes))
        keys = [headers["idempotency-key"] for _, _, headers, _ in double.seen]
        assert keys[0] == keys[1]
        assert len(set(keys)) == 4
        assert mine.session_id not in keys[0]

    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_any_2xx_means_taken(self, double: Double, status: int) -> None:
        double.does = lambda handler: handler.answer(status, b"")
        assert self.send(double).reference == ""

    @pytest.mark.parametrize(
        ("answer", "reference"),
        [
            ({"id": "m-7"}, "m-7"),
            ({"id": "m-7", "reference": "r-8"}, "r-8"),
            ({"id": 7}, ""),
            ({"reference": None, "id": ""}, ""),
            ({"reference": "x" * 256}, ""),
            (["reference"], ""),
            ("reference", ""),
            (None, ""),
        ],
    )
    def test_the_reference_is_a_text_of_its_answer(self, double: Double, answer: Any, reference: str) -> None:
        double.does = says(answer)
        assert self.send(double).reference == reference

    def test_without_a_key_in_the_url_nothing_is_signed(self) -> None:
        with webhook_double(b"", round(time.time()), says({})) as double:
            url = f"webhook+{double.url}/send?from=kodgate"
            run_with(make_provider(url, Channel.SMS, options(signing_key=b"this server's")), MESSAGE)
            assert double.wrong == []

    def test_it_can_only_be_asked_whether_it_is_there(self) -> None:
        with Misbehaving(says({})) as there:
            assert checked(make_provider(f"webhook+{there.url}", Channel.SMS, options())) == "reached, answers 501"
        with pytest.raises(TransientError):
            checked(make_provider(f"webhook+{there.url}", Channel.SMS, options()))


@pytest.mark.parametrize(
    "url",
    [
        "webhook+https://sms.example.com/send#key=s3cret",
        "webhook+https://sms.example.com/send#secret=",
        "webhook+https://sms.example.com/send#s3cret",
        "webhook+https://sms.example.com:s3cret/send",
        "webhook+https://sms.example.com:99999/send",
        "webhook+https://",
        "webhook+https://[s3cret",
    ],
)
def test_a_wrong_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(WrongProviderUrl, match="webhook\\+https://") as refused:
        make_provider(url, Channel.SMS, options())
    assert "s3cret" not in str(refused.value)


# Reports


def provider(key: bytes = KEY) -> WebhookProvider:
    return WebhookProvider("http://127.0.0.1:9/", key, options(), TestClock())


def told(body: Any, age: int = 0, key: bytes = KEY) -> list[Report]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return provider().reports({SIGNATURE_HEADER: sign(sent, key, NOW - age)}, sent)


def test_a_report_or_several_are_read() -> None:
    assert isinstance(provider(), Reporting)
    done = {"reference": "a", "status": "delivered"}
    lost = {"reference": "b", "status": "failed", "error": "x" * 500, "more": 1}
    assert told(done) == [Report("a", "delivered")]
    assert storable(told([done, lost], age=299)) == [Report("a", "delivered"), Report("b", "failed", "x" * 200)]
    assert told([]) == []


@pytest.mark.parametrize("headers", [{}, {SIGNATURE_HEADER: ""}, {SIGNATURE_HEADER: "t=1,v1=" + "a" * 64}])
def test_an_unsigned_report_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ForgedReport):
        provider().reports(headers, b"{}")


def test_a_report_with_another_key_or_too_old_is_refused() -> None:
    done = {"reference": "a", "status": "delivered"}
    for age, key in ((0, b"another"), (301, KEY), (-301, KEY)):
        with pytest.raises(ForgedReport):
            told(done, age, key)


def test_without_a_key_no_report_is_believed() -> None:
    with pytest.raises(ForgedReport):
        provider(b"").reports({SIGNATURE_HEADER: sign(b"[]", b"", NOW)}, b"[]")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"<html>",
        b"[" * 100_000,
        {},
        "delivered",
        {"reference": "", "status": "delivered"},
        {"reference": 7, "status": "delivered"},
        {"reference": "a", "status": "sent"},
        {"reference": "x" * 256, "status": "delivered"},
        [{"reference": "a", "status": "delivered"}, None],
    ],
)
def test_a_malformed_report_tells_nothing_but_a_line_in_the_log(
    body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert told(body) == []
    assert "malformed" in caplog.text


def test_nobody_is_greeted() -> None:
    assert provider().greeting({"hub.challenge": "1"}) is None
