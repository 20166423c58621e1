"""telegram-gateway://: the contract, its two calls, what its errors mean, and its signed reports."""

import asyncio
import itertools
import json
import time
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
from gateway.providers.telegram_gateway import TelegramGatewayProvider, open_provider
from tests.misbehaving import Answer, Handler, drops, hangs, html, says
from tests.providers.contract import MESSAGE, NO_REPORT, TIMEOUT, Contract, checked, options, run_with
from tests.providers.double import Double
from tests.providers.double_telegram_gateway import Account, sign_report, telegram_gateway_double
from tests.world import START, TestClock

TOKEN = "AAGkEwAAbCdE_f-GhIjKlMnOpQrStUvWxYz012345678"  # letters of both cases, as the real ones have
REPORTS_TO = "https://login.example.com/reports/telegram"
NOW = START // 1000
BY_TELEGRAM = msgspec.structs.replace(MESSAGE, channel=Channel.TELEGRAM)


def refuses(error: str, status: int = 400) -> Answer:
    return says({"ok": False, "error": error}, status)


def only_sending(answer: Answer, account: Account) -> Answer:
    """Asking goes well, and sending is answered so."""

    def behave(handler: Handler) -> None:
        (answer if handler.path == "/sendVerificationMessage" else account.answer)(handler)

    return behave


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("checkSendAbility", {}),
        ("checkSendAbility", {"phone_number": "79522966236"}),
        ("checkSendAbility", {"phone_number": "+79522966236", "ttl": 60}),
        ("sendVerificationMessage", {"phone_number": "+79522966236", "code": "12AB"}),
        ("sendVerificationMessage", {"phone_number": "+79522966236", "code": 1234}),
        ("sendVerificationMessage", {"phone_number": "+79522966236", "ttl": 29}),
        ("sendVerificationMessage", {"phone_number": "+79522966236", "callback_url": "http://a"}),
        ("sendVerificationMessage", {"phone_number": "+79522966236", "more": "x"}),
        ("sendMessage", {}),
    ],
)
def test_the_double_refuses_what_telegram_would(method: str, body: Any) -> None:
    with telegram_gateway_double(TOKEN, Account().answer) as double:
        answer = httpx.post(f"{double.url}/{method}", json=body, headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 400
        assert len(double.wrong) == 1


class TestTelegramGateway(Contract):
    reference = "request-1"
    refuses_for_good = refuses("PHONE_NUMBER_INVALID")
    limits = refuses("FLOOD_WAIT_7", 429)
    secret = TOKEN
    message = BY_TELEGRAM

    def make_double(self) -> Double:
        self.account = Account()
        return telegram_gateway_double(TOKEN, self.account.answer)

    def url(self, base: str) -> str:
        return f"telegram-gateway://{TOKEN}?sender=@shop_codes&api={base}"

    def test_what_is_accepted_has_a_receipt(self, double: Double) -> None:
        assert self.send(double, report_url=REPORTS_TO).reference == self.reference
        assert [(path, body) for _, path, _, body in double.seen] == [
            ("/checkSendAbility", {"phone_number": "+79522966236"}),
            (
                "/sendVerificationMessage",
                {
                    "phone_number": "+79522966236",
                    "request_id": "request-1",
                    "code": "482173",
                    "ttl": 180,
                    "payload": "41",
                    "sender_username": "shop_codes",
                    "callback_url": REPORTS_TO,
                },
            ),
        ]

    def test_connections_are_kept(self, double: Double) -> None:
        receipts = run_with(self.open(double), *[self.message] * 3)
        assert [receipt.reference for receipt in receipts] == ["request-1", "request-2", "request-3"]
        assert len(double.seen) == 6
        assert len(double.peers) == 1

    @pytest.mark.parametrize(("left", "ttl"), [(0, 30), (29, 30), (31, 31), (3600, 3600), (7200, 3600)])
    def test_a_message_lives_as_long_as_its_code(self, double: Double, left: int, ttl: int) -> None:
        run_with(self.open(double), msgspec.structs.replace(BY_TELEGRAM, seconds_left=left))
        assert double.seen[1][3]["ttl"] == ttl

    @pytest.mark.parametrize("url", ["", "http://login.example.com/reports", f"https://{'x' * 250}"])
    def test_an_address_that_telegram_would_refuse_is_not_given(self, double: Double, url: str) -> None:
        self.send(double, report_url=url)
        assert "callback_url" not in double.seen[1][3]

    @pytest.mark.parametrize("code", ["", "123", "123456789", "12AB56", "１２３４", "1234\n"])
    def test_a_code_that_it_does_not_take_costs_nothing(self, double: Double, code: str) -> None:
        with pytest.raises(PermanentError, match="4 to 8 digits"):
            run_with(self.open(double), msgspec.structs.replace(BY_TELEGRAM, code=code))
        assert double.seen == []

    @pytest.mark.parametrize("answer", [drops, html(), html(502), says({}), refuses("FLOOD_WAIT_3"), says([])])
    def test_a_retry_is_neither_paid_nor_sent_twice(self, double: Double, answer: Answer) -> None:
        """Sending fails, and goes well when it is tried again."""

        async def run() -> None:
            provider = self.open(double)
            double.does = only_sending(answer, self.account)
            with pytest.raises(TransientError):
                await provider.send(BY_TELEGRAM)
            double.does = self.account.answer
            assert (await provider.send(BY_TELEGRAM)).reference == "request-1"
            await provider.close()

        asyncio.run(run())
        assert self.account.fees == 1
        assert self.account.codes == {"request-1": "482173"}

    def test_a_message_that_was_sent_though_its_answer_was_lost_is_not_sent_again(self, double: Double) -> None:
        sent_and_lost = says({"ok": True, "result": {}})

        def behave(handler: Handler) -> None:
            if handler.path == "/sendVerificationMessage":
                self.account.codes["request-1"] = "482173"
                sent_and_lost(handler)
            else:
                self.account.answer(handler)

        async def run() -> None:
            provider = self.open(double)
            double.does = behave
            with pytest.raises(TransientError):
                await provider.send(BY_TELEGRAM)
            double.does = self.account.answer
            assert (await provider.send(BY_TELEGRAM)).reference == "request-1"
            await provider.close()

        asyncio.run(run())
        assert self.account.fees == 1

    def test_a_forgotten_request_is_asked_for_anew(self, double: Double) -> None:
        async def run() -> None:
            provider = self.open(double)
            double.does = only_sending(refuses("REQUEST_ID_INVALID"), self.account)
            with pytest.raises(TransientError):
                await provider.send(BY_TELEGRAM)
            double.does = self.account.answer
            assert (await provider.send(BY_TELEGRAM)).reference == "request-2"
            await provider.close()

        asyncio.run(run())

    def test_both_calls_together_have_the_timeout(self, double: Double) -> None:
        def slow(handler: Handler) -> None:
            time.sleep(TIMEOUT * 0.7)
            self.account.answer(handler)

        double.does = slow
        with pytest.raises(TransientError, match="in time"):
            self.send(double)

    def test_another_requests_answer_is_no_receipt(self, double: Double) -> None:
        double.does = only_sending(says({"ok": True, "result": {"request_id": "another"}}), self.account)
        self.refusal(double, TransientError)

    @pytest.mark.parametrize("result", [None, True, "request-1", {}, {"request_id": 7}, {"request_id": ""}])
    def test_a_request_without_a_name_is_none(self, double: Double, result: Any) -> None:
        double.does = says({"ok": True, "result": result})
        self.refusal(double, TransientError)

    @pytest.mark.parametrize(
        "error",
        ["PHONE_NUMBER_NOT_FOUND", "PHONE_NUMBER_NOT_AVAILABLE", "CODE_INVALID", "SENDER_NOT_VERIFIED"],
    )
    def test_faults_of_the_message_or_the_url_are_final(self, double: Double, error: str) -> None:
        double.does = refuses(error)
        assert error in str(self.refusal(double, PermanentError))

    @pytest.mark.parametrize(
        ("error", "wait"),
        [
            ("ACCESS_TOKEN_INVALID", None),
            ("BALANCE_NOT_ENOUGH", None),
            ("FLOOD_WAIT", None),
            ("FLOOD_WAIT_0", None),
            ("FLOOD_WAIT_31", 31.0),
            ("FLOOD_WAIT_86400", 300.0),
            ("PHONE_NUMBER_FLOOD", None),
            ("SOMETHING_NEW", None),
        ],
    )
    @pytest.mark.parametrize("status", [200, 400, 401])
    def test_what_passes_is_tried_again(self, double: Double, error: str, wait: float | None, status: int) -> None:
        double.does = refuses(error, status)
        refused = self.refusal(double, TransientError)
        assert isinstance(refused, TransientError)
        assert refused.retry_after == wait

    def test_an_error_of_a_broken_server_is_not_believed(self, double: Double) -> None:
        double.does = refuses("PHONE_NUMBER_INVALID", 502)
        self.refusal(double, TransientError)

    @pytest.mark.parametrize("error", ["", TOKEN, "+79522966236 is unknown", "PHONE_NUMBER_INVALID\nX", "X" * 999])
    def test_a_strange_error_is_not_repeated(self, double: Double, error: str) -> None:
        double.does = refuses(error)
        assert len(str(self.refusal(double, TransientError))) < 100

    @pytest.mark.parametrize(
        "said", [[], "ok", None, {"ok": 1, "result": {}}, {"ok": "true"}, {"ok": False}, {"ok": False, "error": 7}]
    )
    def test_nonsense_is_transient(self, double: Double, said: Any) -> None:
        double.does = says(said)
        self.refusal(double, TransientError)

    def test_checking_sends_nothing_and_costs_nothing(self, double: Double) -> None:
        assert checked(self.open(double, report_url=REPORTS_TO)) == "accepts the token"
        assert "no delivery reports" in checked(self.open(double))
        assert {path for _, path, _, _ in double.seen} == {"/checkVerificationStatus"}
        assert self.account.fees == 0

    @pytest.mark.parametrize("answer", [refuses("ACCESS_TOKEN_INVALID", 401), html(), drops, hangs(TIMEOUT * 2)])
    def test_checking_tells_what_is_wrong(self, double: Double, answer: Answer) -> None:
        double.does = answer
        with pytest.raises(SendError) as refused:
            checked(self.open(double))
        assert TOKEN not in str(refused.value)

    def test_telegram_is_told_of_right_codes_and_revocations(self, double: Double) -> None:
        async def run() -> None:
            provider = open_provider(self.url(double.url), options())
            reference = (await provider.send(BY_TELEGRAM)).reference
            await provider.checked(reference, "482173")
            await provider.revoke(reference)
            with pytest.raises(PermanentError):
                await provider.checked("nobody's", "482173")
            with pytest.raises(PermanentError):
                await provider.revoke("nobody's")
            double.does = says({"ok": True, "result": False})
            with pytest.raises(TransientError):
                await provider.revoke(reference)
            double.does = html(503)
            with pytest.raises(TransientError):
                await provider.checked(reference, "482173")
            await provider.close()

        asyncio.run(run())
        assert self.account.confirmed == self.account.revoked == ["request-1"]

    def test_many_messages_that_fail_fill_no_memory(self, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.providers.telegram_gateway.MOST_REQUESTS", 2)
        messages = [msgspec.structs.replace(BY_TELEGRAM, id=number) for number in range(4)]

        async def run(provider: TelegramGatewayProvider) -> None:
            double.does = only_sending(html(502), self.account)
            for message in messages:
                with pytest.raises(TransientError):
                    await provider.send(message)
            assert len(provider._requests) == 2
            double.does = self.account.answer
            for message in (messages[3], messages[2], messages[0]):
                await provider.send(message)
            await provider.close()

        asyncio.run(run(open_provider(self.url(double.url), options())))
        assert sorted(self.account.codes) == ["request-3", "request-4", "request-5"]


@pytest.mark.parametrize(
    "url",
    [
        f"telegram-gateway://{TOKEN}@gatewayapi.telegram.org",
        f"telegram-gateway://{TOKEN}/path",
        f"telegram-gateway://{TOKEN}#part",
        f"telegram-gateway://{TOKEN}?sender=",
        f"telegram-gateway://{TOKEN}?sender=@shop&sender=@shop",
        f"telegram-gateway://{TOKEN}?sender=@x",
        f"telegram-gateway://{TOKEN}?sender=@no spaces",
        f"telegram-gateway://{TOKEN}?token={TOKEN}",
        f"telegram-gateway://{TOKEN}?{TOKEN}",
        f"telegram-gateway://{TOKEN}?api=ftp://example.com",
        f"telegram-gateway://{TOKEN}?api=https://",
        f"telegram-gateway://{TOKEN}?api=https://[",
        f"telegram-gateway://{TOKEN}?api=https://example.com:99999",
        f"telegram-gateway://{TOKEN}?api=https://me:{TOKEN}@example.com",
        f"telegram-gateway://{TOKEN}%0d%0aX:1",
        f"telegram-gateway://[{TOKEN}",
        f"telegram-gateway://{TOKEN}:port",
        "telegram-gateway://",
    ],
)
def test_a_wrong_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(WrongProviderUrl, match="telegram-gateway://TOKEN") as refused:
        open_provider(url, options())
    assert TOKEN not in str(refused.value)


def test_it_serves_telegram_only() -> None:
    with pytest.raises(WrongProviderUrl, match="can't send by sms"):
        make_provider(f"telegram-gateway://{TOKEN}", Channel.SMS, options())


# Reports


def provider(token: str = TOKEN) -> TelegramGatewayProvider:
    return open_provider(f"telegram-gateway://{token}", options(), TestClock())


def status(state: str, reference: str = "request-1") -> bytes:
    """A `RequestStatus` as Telegram posts it."""
    told = {
        "request_id": reference,
        "phone_number": "+79522966236",
        "request_cost": 0.01,
        "is_refunded": state == "expired",
        "delivery_status": {"status": state, "updated_at": NOW},
        "payload": "41",
    }
    return json.dumps(told).encode()


def told(body: bytes, age: int = 0, token: str = TOKEN) -> list[Report]:
    return provider().reports(sign_report(token, NOW - age, body), body)


def test_each_status_is_read() -> None:
    assert isinstance(provider(), Reporting)
    assert provider().greeting({"hub.challenge": "1"}) is None
    expected = {
        "sent": [],
        "delivered": [Report("request-1", "delivered")],
        "read": [Report("request-1", "delivered")],
        "expired": [Report("request-1", "failed", "Telegram did not deliver it in time")],
        "revoked": [],
        "something new": [],
    }
    assert {state: told(status(state)) for state in expected} == expected


def test_the_published_recipe_is_followed() -> None:
    """The signature of «Checking report integrity» by openssl: SHA256 of the token keys HMAC of time, LF, body."""
    body = b'{"request_id":"r","delivery_status":{"status":"read"}}'
    headers = {
        "x-request-timestamp": "1761640000",
        "x-request-signature": "d43a6a65c335a9710d1f791f2bf748b3c809516fc69fd009a866b1133f90309a",
    }
    reader = open_provider("telegram-gateway://Token", options(), lambda: 1_761_640_000_000)
    assert reader.reports(headers, body) == [Report("r", "delivered")]


def test_reports_are_read_in_any_order_and_more_than_once() -> None:
    states = ("sent", "delivered", "read")
    for order in itertools.permutations(states):
        reports = [report for state in order for report in told(status(state))]
        assert reports == [Report("request-1", "delivered")] * 2


@pytest.mark.parametrize("age", [-300, 0, 299, 300])
def test_a_report_of_a_few_minutes_is_believed(age: int) -> None:
    assert told(status("read"), age) == [Report("request-1", "delivered")]


@pytest.mark.parametrize("age", [-301, 301, 86400])
def test_a_report_that_is_too_old_or_from_the_future_is_refused(age: int) -> None:
    with pytest.raises(ForgedReport, match="5 minutes"):
        told(status("read"), age)


def test_a_forged_report_is_refused() -> None:
    body = status("read")
    right = sign_report(TOKEN, NOW, body)
    for headers in (
        {},
        {"x-request-timestamp": str(NOW)},
        {"x-request-signature": right["x-request-signature"]},
        right | {"x-request-signature": ""},
        right | {"x-request-signature": "0" * 64},
        right | {"x-request-signature": "подпись"},
        right | {"x-request-signature": "\udcff"},
        right | {"x-request-timestamp": str(NOW + 1)},
        right | {"x-request-timestamp": "\udcff"},
        sign_report("another token", NOW, body),
        sign_report(TOKEN.lower(), NOW, body),
        sign_report(TOKEN, NOW, status("expired")),
    ):
        with pytest.raises(ForgedReport):
            provider().reports(headers, body)


@pytest.mark.parametrize("timestamp", ["", "soon", "１７６１６４００００", "-1", "9" * 30])
def test_a_signed_timestamp_must_be_one(timestamp: str) -> None:
    with pytest.raises(ForgedReport, match="timestamp"):
        provider().reports(sign_report(TOKEN, timestamp, b"{}"), b"{}")


@pytest.mark.parametrize(
    "body",
    [
        *NO_REPORT,
        b'{"request_id": 7, "delivery_status": {"status": "read"}}',
        b'{"request_id": "r"}',
        b'{"request_id": "r", "delivery_status": "read"}',
        b'{"request_id": "r", "delivery_status": {"status": ["read"]}}',
        b'{"request_id": "r", "delivery_status": {"status": null}}',
    ],
)
def test_nonsense_that_is_signed_reports_nothing(body: bytes) -> None:
    assert told(body) == []
