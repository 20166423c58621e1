"""apprise+SCHEME://: the contract as far as Apprise tells, by its own JSON service; and what stays unloaded."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from contextlib import suppress

import msgspec
import pytest

from gateway.channels import Channel
from gateway.providers import (
    SCHEMES,
    Receipt,
    TransientError,
    WrongProviderUrl,
    check_provider_url,
    make_provider,
)
from tests.misbehaving import Handler, hangs, says
from tests.providers.contract import MESSAGE, TIMEOUT, Contract, asks_to_wait, checked, options, run_with
from tests.providers.double import Double
from tests.providers.double_apprise import apprise_double
from tests.servers import ROOT

LETTER = msgspec.structs.replace(MESSAGE, to="ann+shop@example.com", channel=Channel.EMAIL)
SID, TOKEN = "AC" + "a" * 32, "b" * 32


@pytest.fixture(scope="module", autouse=True)
def _is_loaded() -> None:
    """At its first send Apprise reads its services and their libraries, for seconds where the machine is busy."""
    with suppress(TransientError):
        run_with(make_provider("apprise+json://127.0.0.1:9/", Channel.SMS, options(timeout=30.0)), MESSAGE)


def takes_a_quarter_too_long(handler: Handler) -> None:
    """With a byte now and then, lest the reader give up in the very moment in which the others' time is over."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n")
    for _ in range(5):
        time.sleep(TIMEOUT / 4)
        handler.wfile.write(b" ")
        handler.wfile.flush()


class TestApprise(Contract):
    accepts = says({})
    refuses_for_good = says({"error": "no such number"}, 422)
    limits = asks_to_wait("7")
    secret = "s3cret"
    permanent = TransientError  # Apprise only says that it failed
    waits = None
    html_is_taken = True  # a status is all that its plugins look at
    keeps_connections = False

    def make_double(self) -> Double:
        return apprise_double(type(self).accepts)

    def url(self, base: str) -> str:
        return f"apprise+{base.replace('http', 'json')}/notify/".replace("//", "//kodgate:s3cret@")

    def test_the_text_goes_whole_and_an_sms_has_no_title(self, double: Double) -> None:
        assert self.send(double) == Receipt()
        [(_, path, _, body)] = double.seen
        assert path.rstrip("/") == "/notify/79522966236"
        assert (body["title"], body["message"]) == ("", MESSAGE.text)

    def test_a_letter_has_a_subject(self, double: Double) -> None:
        run_with(make_provider(self.url(double.url), Channel.EMAIL, options()), LETTER)
        [(_, path, _, body)] = double.seen
        assert path.rstrip("/") == "/notify/ann+shop@example.com"
        assert (body["title"], body["message"]) == ("Shop", MESSAGE.text)

    @pytest.mark.parametrize("place", ["notify/{to}", "notify/{to}/?-a=b", "notify?-a=b"])
    def test_the_destination_stands_where_the_url_says(self, double: Double, place: str) -> None:
        url = self.url(double.url).replace("notify/", place)
        run_with(make_provider(url, Channel.SMS, options()), MESSAGE)
        path = double.seen[0][1]
        assert path.partition("?")[0].rstrip("/") == "/notify/79522966236"
        assert ("a=b" in path) is ("a=b" in place)

    def test_it_says_that_it_can_not_be_asked(self, double: Double) -> None:
        assert "without sending" in checked(self.open(double))
        assert double.seen == []

    def test_no_more_threads_than_calls_at_once(self, double: Double) -> None:
        double.does = hangs(0.3)

        async def run() -> None:
            provider = self.open(double, concurrency=2, timeout=5)
            await asyncio.gather(*(provider.send(MESSAGE) for _ in range(6)))
            assert sum(thread.name.startswith("apprise") for thread in threading.enumerate()) == 2
            await provider.close()

        began = time.monotonic()
        asyncio.run(run())
        assert time.monotonic() - began > 0.8
        assert len(double.seen) == 6

    @pytest.mark.parametrize("late", [0.0, 0.5])
    def test_what_waited_too_long_is_never_sent(self, double: Double, late: float) -> None:
        """Not even where the loop is too late to take it back from the thread that has become free."""
        double.does = takes_a_quarter_too_long

        async def run() -> None:
            asyncio.get_running_loop().call_later(TIMEOUT * 0.9, time.sleep, late)
            provider = self.open(double, concurrency=1)
            ended = await asyncio.gather(*(provider.send(MESSAGE) for _ in range(3)), return_exceptions=True)
            assert [type(one) for one in ended] == [TransientError] * 3
            await provider.close()

        asyncio.run(run())
        time.sleep(TIMEOUT)
        assert len(double.seen) == 1

    def test_no_line_of_a_library_is_logged(self, double: Double, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            self.send(double)
            double.does = says({}, 500)
            self.refusal(double, TransientError)
        assert not [one for one in caplog.records if one.name.startswith(("apprise", "urllib3"))]
        for hidden in (MESSAGE.code, MESSAGE.to[1:], self.secret):
            assert hidden not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"apprise+twilio://{SID}:{TOKEN}@12025550100",
        f"apprise+twilio://{SID}:{TOKEN}@12025550100/{{to}}",
        "apprise+vonage://12345678:abcdefgh12345678@12025550100",
        f"apprise+msgbird://{'a' * 25}/12025550100",
        f"apprise+plivo://{'A' * 25}@{'b' * 40}/12025550100",
        "apprise+sns://AHIAJGNT76XIMXDBIJYA/bu1dHSdO22pfaaVy/wmNsdljF4C07D3bndi9PQJ9/us-east-2",
        "apprise+46elks://user:password@12025550100",
        "apprise+mailtos://user:password@example.com",
    ],
)
def test_services_are_known(url: str) -> None:
    assert "understands" in checked(make_provider(url, Channel.SMS, options()))


@pytest.mark.parametrize(
    "url",
    ["apprise+nonsense://s3cret@x", "apprise+twilio://s3cret", "apprise+://s3cret", "apprise+twilio://[s3cret"],
)
def test_a_url_that_apprise_does_not_understand_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(WrongProviderUrl, match="an example") as refused:
        make_provider(url, Channel.SMS, options())
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["apprise://x", "twilio://x", "s3cret+twilio://x", "1:s3cret", ""])
def test_what_no_provider_has_is_refused_with_all_there_are(url: str) -> None:
    with pytest.raises(WrongProviderUrl, match=r"webhook\+https://.*apprise\+…://"):
        check_provider_url(url, Channel.SMS)


def test_a_bare_secret_is_not_repeated() -> None:
    with pytest.raises(WrongProviderUrl) as refused:
        check_provider_url("12345:s3cret@x", Channel.SMS)
    assert "s3cret" not in str(refused.value)


def test_telegram_has_a_bot_instead() -> None:
    with pytest.raises(WrongProviderUrl, match="telegram"):
        check_provider_url("apprise+tgram://1:x/2", Channel.TELEGRAM)


def test_it_is_loaded_by_nothing_else() -> None:
    urls = {"SMS_URL": f"apprise+twilio://{SID}:{TOKEN}@12025550100", "KODGATE_ENV": "development"}
    code = (
        "import sys, web.wsgi, bot.app, gateway.settings; "
        "print(gateway.settings.load_settings().sms_url[:8], 'apprise' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=urls, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "apprise+ False"


def test_its_schemes_stand_behind_the_prefix_only() -> None:
    assert [name for name in SCHEMES if name.endswith("+")] == ["apprise+"]
