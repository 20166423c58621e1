"""What holds for every provider reached by HTTP, whatever it answers. Each has a subclass in its own test file."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from gateway.channels import Channel
from gateway.providers import (
    Message,
    Options,
    PermanentError,
    Provider,
    Receipt,
    SendError,
    TransientError,
    make_provider,
)
from tests.misbehaving import Answer, Misbehaving, drops, floods, hangs, html, says
from tests.providers.double import Double

TIMEOUT = 1.0
TEXT = "Shop: your code is 482173. Valid 3 min. Do not share it.\n\n@login.example.com #482173"
MESSAGE = Message(41, Channel.SMS, "+79522966236", "482173", TEXT, "en", "Shop", 1)

NO_REPORT = (b"", b"\xff", b"<html>", b"{", b"[" * 100_000, b"null", b"[]", b'"read"', b"{}")  # however signed


def options(**changed: Any) -> Options:
    return msgspec.structs.replace(Options(TIMEOUT, 4), **changed)


def asks_to_wait(seconds: str, status: int = 429) -> Answer:
    return lambda handler: handler.answer(status, b"{}", **{"retry-after": seconds})


def run_with(provider: Provider, *messages: Message) -> list[Receipt]:
    """Send them one after the other, then close."""

    async def run() -> list[Receipt]:
        try:
            return [await provider.send(message) for message in messages]
        finally:
            await provider.close()

    return asyncio.run(run())


def checked(provider: Provider) -> str:
    async def run() -> str:
        try:
            return await provider.check()
        finally:
            await provider.close()

    return asyncio.run(run())


class Contract(ABC):
    """The same cases for every provider; what differs is in the class variables and the two abstract methods."""

    reference: ClassVar[str] = ""
    accepts: ClassVar[Answer]
    refuses_for_good: ClassVar[Answer]
    limits: ClassVar[Answer]
    """Asks to wait for 7 seconds."""

    secret: ClassVar[str]
    """Must never be in an error."""

    permanent: ClassVar[type[SendError]] = PermanentError
    waits: ClassVar[float | None] = 7.0
    html_is_taken: ClassVar[bool] = False
    keeps_connections: ClassVar[bool] = True
    message: ClassVar[Message] = MESSAGE

    @abstractmethod
    def make_double(self) -> Double:
        """A double that accepts."""

    @abstractmethod
    def url(self, base: str) -> str:
        """The provider's URL where `base` (`http://127.0.0.1:1234`) plays the provider."""

    @pytest.fixture
    def double(self) -> Iterator[Double]:
        with self.make_double() as double:
            yield double
            assert double.wrong == []

    def open(self, double: Misbehaving, **changed: Any) -> Provider:
        return make_provider(self.url(double.url), self.message.channel, options(**changed))

    def send(self, double: Misbehaving, **changed: Any) -> Receipt:
        return run_with(self.open(double, **changed), self.message)[0]

    def refusal(self, double: Misbehaving, kind: type[SendError], **changed: Any) -> SendError:
        """Why sending fails, which tells the operator something and nobody a secret."""
        with pytest.raises(kind) as refused:
            self.send(double, **changed)
        text = str(refused.value)
        assert text
        assert "\n" not in text
        for hidden in (self.secret, self.message.to, self.message.to[1:], self.message.code, "127.0.0.1"):
            assert hidden not in text
        return refused.value

    def test_what_is_accepted_has_a_receipt(self, double: Double) -> None:
        assert self.send(double).reference == self.reference
        assert len(double.seen) == 1

    def test_connections_are_kept(self, double: Double) -> None:
        run_with(self.open(double), *[self.message] * 3)
        assert len(double.seen) == 3
        assert len(double.peers) == (1 if self.keeps_connections else 3)

    @pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
    def test_what_may_work_later_is_transient(self, double: Double, status: int) -> None:
        double.does = says({}, status)
        self.refusal(double, TransientError)

    def test_what_never_will_is_permanent(self, double: Double) -> None:
        double.does = type(self).refuses_for_good
        self.refusal(double, self.permanent)

    def test_a_provider_that_asks_to_wait_is_waited_for(self, double: Double) -> None:
        double.does = type(self).limits
        refused = self.refusal(double, TransientError)
        assert isinstance(refused, TransientError)
        assert refused.retry_after == self.waits

    @pytest.mark.parametrize(
        ("told", "seconds"), [("99999", 300.0), ("0", None), ("-5", None), ("nan", None), ("soon", None)]
    )
    def test_a_strange_wait_is_ours_to_choose(self, double: Double, told: str, seconds: float | None) -> None:
        double.does = asks_to_wait(told)
        refused = self.refusal(double, TransientError)
        assert isinstance(refused, TransientError)
        assert refused.retry_after == (seconds if self.waits else None)

    def test_a_provider_that_hangs_is_given_up_in_time(self, double: Double) -> None:
        double.does = hangs(TIMEOUT * 3)
        began = time.monotonic()
        self.refusal(double, TransientError)
        assert time.monotonic() - began < TIMEOUT + 1

    def test_a_connection_that_breaks_off_is_transient(self, double: Double) -> None:
        double.does = drops
        self.refusal(double, TransientError)

    def test_nobody_there_is_transient(self) -> None:
        with self.make_double() as gone:
            pass
        self.refusal(gone, TransientError)

    def test_html_is_no_receipt(self, double: Double) -> None:
        double.does = html()
        if self.html_is_taken:
            assert self.send(double).reference == ""
        else:
            self.refusal(double, TransientError)

    def test_html_of_a_proxy_is_transient(self, double: Double) -> None:
        double.does = html(502)
        self.refusal(double, TransientError)

    def test_a_flood_is_no_receipt(self, double: Double) -> None:
        double.does = floods
        if self.html_is_taken:
            assert self.send(double).reference == ""
        else:
            self.refusal(double, TransientError)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_no_redirect_is_followed(self, double: Double, status: int) -> None:
        with Misbehaving(says({})) as thief:
            double.does = lambda handler: handler.answer(status, b"", location=f"{thief.url}/take")
            self.refusal(double, SendError)
            assert thief.seen == []
