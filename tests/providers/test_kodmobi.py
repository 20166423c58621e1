"""kodmobi://: the contract, kod.mobi's refusals, its callbacks, and a real server of kod.mobi's API."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from gateway.aes256 import code_key
from gateway.channels import Channel
from gateway.providers import (
    ForgedReport,
    Message,
    Options,
    PermanentError,
    Provider,
    Report,
    Reporting,
    SendError,
    TransientError,
    WrongProviderUrl,
    make_provider,
    storable,
)
from gateway.providers.kodmobi import KodmobiProvider
from gateway.signing import SIGNATURE_HEADER, sign
from tests.misbehaving import in_turn, refuses, says
from tests.providers.contract import MESSAGE, Contract, checked, options, run_with
from tests.providers.double import Double
from tests.providers.double_kodmobi import SECRET, kodmobi_double
from tests.receiver import Receiver
from tests.servers import Servers, until
from tests.world import START, TestClock, new_phone

SECRET_KEY = "sk_development"
TAKEN = {"message": "Sent to queue.", "code": "aes256:8fd2:da4b:5832", "message_id": 7}
CHANNELS = says([{"type": "sms", "name": "SMS"}, {"type": "telegram", "name": "Telegram"}, {"type": "fax"}])
FINAL = [
    (400, "ERROR_BAD_REQUEST"),
    (409, "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL"),
    (409, "ERROR_PROJECT_HAS_NO_CHANNEL"),
    (409, "ERROR_PROJECT_HAS_NO_CHANNELS"),
    (409, "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY"),
    (423, "ERROR_PHONE_BLOCKED"),
]


class TestKodmobi(Contract):
    reference = "7"
    accepts = says(TAKEN)
    refuses_for_good = refuses(423, "ERROR_PHONE_BLOCKED", timeout=30)
    limits = refuses(429, "ERROR_MESSAGE_ATTEMPT", timeout=7)
    secret = SECRET

    def make_double(self) -> Double:
        return kodmobi_double(type(self).accepts)

    def url(self, base: str) -> str:
        return f"kodmobi://{quote(SECRET, safe='')}@api.kod.mobi/3?api={base}"

    def test_it_posts_what_the_seed_names(self, double: Double) -> None:
        self.send(double, report_url="https://login.example.com/reports/1")
        [(method, path, _, body)] = double.seen
        assert (method, path) == ("POST", "/manual/send")
        assert body == {
            "to": "+79522966236",
            "channel": "sms",
            "code": "482173",
            "provider_id": 3,
            "callback_url": "https://login.example.com/reports/1",
        }

    def test_what_is_not_known_is_left_out(self, double: Double) -> None:
        url = self.url(double.url).replace("/3?", "?")
        run_with(make_provider(url, Channel.SMS, options()), MESSAGE)
        assert double.seen[0][3] == {"to": "+79522966236", "channel": "sms", "code": "482173"}

    def test_a_repeat_is_known_by_its_key_and_another_message_by_another(self, double: Double) -> None:
        other = [
            msgspec.structs.replace(MESSAGE, **changed)
            for changed in ({"id": 42}, {"code": "000000"}, {"to": "+79522966237"}, {"channel": Channel.VIBER})
        ]
        run_with(self.open(double), MESSAGE, MESSAGE, *other)
        keys = [headers["idempotency-key"] for _, _, headers, _ in double.seen]
        assert keys[0] == keys[1]
        assert len(set(keys)) == 5
        assert not any(hidden in "".join(keys) for hidden in (MESSAGE.code, MESSAGE.to[1:]))

    @pytest.mark.parametrize(("status", "sys_message"), FINAL)
    def test_a_final_refusal_is_named(self, double: Double, status: int, sys_message: str) -> None:
        double.does = refuses(status, sys_message, text=f"no {MESSAGE.to}")
        assert sys_message in str(self.refusal(double, PermanentError))

    def test_a_malformed_field_is_named(self, double: Double) -> None:
        double.does = refuses(
            400, "ERROR_BAD_REQUEST", fields={"callback_url": "is not public", "\n": "", "to": 1}
        )
        refused = self.refusal(double, PermanentError)
        assert str(refused) == "kod.mobi refused: ERROR_BAD_REQUEST callback_url to"

    @pytest.mark.parametrize(
        ("status", "sys_message"),
        [
            (401, "ERROR_ACCESS_DENIED"),
            (402, "ERROR_WRONG_BALANCE"),
            (403, "ERROR_BLOCKED"),
            (503, "ERROR_UNAVAILABLE"),
            (200, "ERROR_WRONG_BALANCE"),
            (418, "ERROR_THAT_NOBODY_KNOWS"),
        ],
    )
    def test_what_the_operator_can_mend_is_transient(self, double: Double, status: int, sys_message: str) -> None:
        double.does = refuses(status, sys_message)
        assert sys_message in str(self.refusal(double, TransientError))

    @pytest.mark.parametrize(
        ("timeout", "seconds"), [(9999, 300.0), (0, None), (-1, None), ("5", None), (True, None), (None, None)]
    )
    def test_a_strange_timeout_is_ours_to_choose(
        self, double: Double, timeout: Any, seconds: float | None
    ) -> None:
        double.does = refuses(429, "ERROR_MESSAGE_ATTEMPT", timeout=timeout)
        refused = self.refusal(double, TransientError)
        assert isinstance(refused, TransientError)
        assert refused.retry_after == seconds

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            [],
            "Sent to queue.",
            {},
            {"message_id": None},
            {"message_id": "7"},
            {"message_id": True},
            {"success": False},
            {"sys_message": 7},
            {"sys_message": "ERROR_\n" + MESSAGE.to},
            {"sys_message": "ERROR_MESSAGE_ATTEMPT", "error_params": []},
            {"sys_message": "ERROR_MESSAGE_ATTEMPT"},
        ],
    )
    def test_an_answer_of_no_sense_is_transient(self, double: Double, answer: Any) -> None:
        double.does = says(answer)
        self.refusal(double, TransientError)

    def test_a_check_names_the_accounts_channels(self, double: Double) -> None:
        double.does = in_turn(CHANNELS, refuses(410, "ERROR_SESSION_EXPIRED"))
        assert checked(self.open(double)) == "the account has telegram, sms"
        assert [(method, path) for method, path, _, _ in double.seen] == [
            ("GET", "/session/channels"),
            ("POST", "/session/verify"),
        ]

    def test_a_check_finds_a_wrong_or_public_key_and_a_wrong_server(self, double: Double) -> None:
        denied = refuses(401, "ERROR_ACCESS_DENIED")
        for answers in ((denied,), (CHANNELS, denied), (CHANNELS, says({})), (says({}),)):
            double.does = in_turn(*answers)
            with pytest.raises(SendError):
                checked(self.open(double))


@pytest.mark.parametrize(
    "url",
    [
        "kodmobi://api.kod.mobi",
        "kodmobi://@api.kod.mobi",
        "kodmobi://%20@api.kod.mobi",
        "kodmobi://s3cr\u00e9t@api.kod.mobi",
        "kodmobi://s3cret%0A@api.kod.mobi",
        "kodmobi://s3cret@",
        "kodmobi://s3cret@api.kod.mobi:port",
        "kodmobi://s3cret@api.kod.mobi/first",
        "kodmobi://s3cret@api.kod.mobi/1/2",
        "kodmobi://s3cret@api.kod.mobi/\u0661",
        "kodmobi://s3cret@api.kod.mobi/1?provider=2",
        "kodmobi://s3cret@api.kod.mobi/1#2",
        "kodmobi://s3cret@api.kod.mobi?api=",
        "kodmobi://s3cret@api.kod.mobi?api=ftp://example.com",
        "kodmobi://s3cret@api.kod.mobi?api=http://[",
    ],
)
def test_a_wrong_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(WrongProviderUrl, match="kodmobi://SECRET_KEY@") as refused:
        make_provider(url, Channel.SMS, options())
    assert "s3cr" not in str(refused.value)


def test_telegram_is_not_its_affair() -> None:
    with pytest.raises(WrongProviderUrl, match="telegram"):
        make_provider("kodmobi://sk@api.kod.mobi", Channel.TELEGRAM, options())


# Reports


def told(body: Any, key: str = SECRET, age: int = 0) -> list[Report]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    provider = KodmobiProvider("http://127.0.0.1:9", SECRET, None, options(), TestClock())
    assert isinstance(provider, Reporting)
    return provider.reports({SIGNATURE_HEADER: sign(sent, code_key(key), START // 1000 - age)}, sent)


def finished(status: str, error: str = "") -> dict[str, Any]:
    at = "2025-10-28T09:22:48.950Z"
    return {
        "message_id": 7,
        "status": status,
        "channel": "sms",
        "to": MESSAGE.to,
        "error": error,
        "finished_at": at,
    }


def test_a_callback_tells_what_became_of_the_message() -> None:
    assert told(finished("delivered")) == [Report("7", "delivered")]
    assert storable(told(finished("failed", "e" * 500))) == [Report("7", "failed", "e" * 200)]
    assert told(finished("sent")) == []


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 100_000, {}, [], finished("lost"), {"message_id": "7"}])
def test_a_malformed_callback_tells_nothing(body: Any) -> None:
    assert told(body) == []


def test_a_callback_of_somebody_else_or_too_old_is_refused() -> None:
    for key, age in (("sk_other", 0), (SECRET, 301)):
        with pytest.raises(ForgedReport):
            told(finished("failed"), key, age)
    provider = KodmobiProvider("http://127.0.0.1:9", SECRET, None, options())
    with pytest.raises(ForgedReport):
        provider.reports({}, json.dumps(finished("failed")).encode())
    assert provider.greeting({}) is None


# A real server of that API


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("upstream"), CALLBACK_NETWORKS="127.0.0.0/8") as running:
        yield running


def account(upstream: Servers, secret: str = SECRET_KEY, **changed: Any) -> Provider:
    opened = msgspec.structs.replace(Options(10, 4), **changed)
    return make_provider(f"kodmobi://{secret}@api.kod.mobi/1?api={upstream.web}", Channel.SMS, opened)


def letter(to: str, **changed: Any) -> Message:
    return msgspec.structs.replace(MESSAGE, to=to, **changed)


def test_a_real_server_sends_our_code_once_in_the_visitors_language(upstream: Servers) -> None:
    phone = new_phone()
    message = letter(phone, lang="ru")
    first, again = run_with(account(upstream), message, message)
    assert first == again
    assert int(first.reference) > 0
    [arrived] = until(lambda: upstream.letters(phone), "the code arrives")
    assert arrived["code"] == message.code
    assert "Никому не говорите" in arrived["text"]
    time.sleep(0.5)
    assert len(upstream.letters(phone)) == 1


def test_a_real_server_reports_a_failure(upstream: Servers) -> None:
    with Receiver() as site, upstream.fault(method="inbox", status=400):
        provider = account(upstream, report_url=f"{site.url}/reports/1")
        [receipt] = run_with(provider, letter(new_phone()))
        [call] = until(lambda: site.received, "the callback is made")
    assert isinstance(provider, Reporting)
    [report] = provider.reports(call.headers, call.body)
    assert (report.reference, report.state) == (receipt.reference, "failed")
    assert "400" in report.error


def test_a_real_servers_success_is_no_news(upstream: Servers) -> None:
    with Receiver() as site:
        provider = account(upstream, report_url=site.url)
        run_with(provider, letter(new_phone()))
        [call] = until(lambda: site.received, "the callback is made")
    assert isinstance(provider, Reporting)
    assert provider.reports(call.headers, call.body) == []


def test_a_real_server_refuses(upstream: Servers) -> None:
    for message, refused in (
        (letter("ann@example.com"), "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL"),
        (letter("+7"), "ERROR_BAD_REQUEST to"),
        (letter(new_phone(), code="1"), "ERROR_BAD_REQUEST code"),
    ):
        with pytest.raises(PermanentError, match=refused):
            run_with(account(upstream), message)
    for secret in ("pk_development", "sk_of_nobody"):
        with pytest.raises(TransientError, match="ERROR_ACCESS_DENIED"):
            run_with(account(upstream, secret), letter(new_phone()))


def test_a_real_server_is_checked(upstream: Servers) -> None:
    assert checked(account(upstream)) == "the account has telegram, whatsapp, viber, sms, email"
    for secret in ("pk_development", "sk_of_nobody"):
        with pytest.raises(TransientError, match="ERROR_ACCESS_DENIED"):
            checked(account(upstream, secret))
