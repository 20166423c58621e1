"""An upstream of kod.mobi's contract, without the wire: what a request looks like, and what an answer means.

`HostedGateway` sends requests with a blocking client, the live streams with an asynchronous one. What is wrong
with an answer never reaches a visitor raw: it is one of our errors, with the upstream's `sys_message` kept.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from gateway import errors
from gateway.decoding import NOT_JSON
from gateway.hosted.breaker import Breaker
from gateway.i18n import translate
from gateway.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

_STATUSES = (400, 401, 402, 403, 404, 405, 409, 410, 422, 423, 429)  # of refusals, by the contract and ours
LARGEST_ANSWER = 256 * 1024  # bytes: a hundred times the largest real one
DEFAULT_REST = 60  # seconds: a channel's rest by the contract, where the upstream does not say
LONGEST_REST = 86_400  # a day: nobody is told to wait longer, whatever a proxy claims


@dataclass(frozen=True)
class Ask(Generic[T]):
    """One request of the contract, and how its answer is read (raising `Down` where that is malformed).

    `secret`: with the secret key; `wrapped`: the answer stands under `data`; `ours`: kod.mobi has no such path.
    `address`: the visitor's, empty where nobody knows it.
    """

    method: str
    path: str
    fields: dict[str, Any]
    lang: str
    read: Callable[[Any], T]
    secret: bool = False
    wrapped: bool = False
    repeat_key: str | None = None
    challenge: str = ""
    address: str = ""
    ours: bool = False


class Down(Exception):
    """The upstream did not answer as the contract says.

    `never_sent`: it has not even seen the request. `our_fault`: what it did not take says nothing of how it is.
    """

    def __init__(self, reason: str, *, never_sent: bool = False, our_fault: bool = False) -> None:
        super().__init__(reason)
        self.never_sent = never_sent
        self.our_fault = our_fault


class UpstreamRefusal(errors.GatewayError):
    """A refusal that only the upstream has, such as `ERROR_WRONG_BALANCE`; its words are passed on."""

    def __init__(self, status: int, sys_message: str, text: str, params: dict[str, Any]) -> None:
        super().__init__()
        self.status = status if status in _STATUSES else 400
        self.sys_message = sys_message
        # What becomes a header of ours is not the upstream's to say in words of its own.
        self.params = {name: value for name, value in params.items() if _is_tellable(name, value)}
        self._text = text

    def text(self, lang: str) -> str:
        return self._text or translate(lang, self.message)


def _is_tellable(name: str, value: Any) -> bool:
    return name != "allow" and (name != "timeout" or (isinstance(value, int) and 0 <= value <= LONGEST_REST))


def down(problem: httpx.HTTPError | httpx.InvalidURL, ask: Ask[Any]) -> Down:
    """What a client's exception says of the upstream."""
    name = type(problem).__name__
    if isinstance(problem, httpx.InvalidURL):
        return Down(f"no address for {ask.path}", our_fault=True)
    if isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return Down(f"not reached: {name}", never_sent=True)
    return Down(f"{name} from {ask.path}")


class Upstream:
    """Makes requests and reads answers. `patience` is how many seconds a whole answer may take."""

    def __init__(self, settings: Settings) -> None:
        self.patience = settings.kodmobi_timeout_seconds
        self._url = settings.kodmobi_url
        self._public = settings.kodmobi_public_key
        self._secret = settings.kodmobi_secret_key
        self.timeout = httpx.Timeout(settings.kodmobi_timeout_seconds, connect=settings.kodmobi_connect_seconds)
        self.breaker = Breaker(settings.kodmobi_failures, settings.kodmobi_rest_seconds)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Around one request: keeps the breaker's books. Raises `Unavailable` at once while that rests."""
        self.breaker.enter()
        try:
            yield
        except Down as problem:
            if problem.our_fault:
                self.breaker.release()
            else:
                self.breaker.failed(problem)
            raise
        except errors.GatewayError:  # a refusal is an answer
            self.breaker.worked()
            raise
        except BaseException:
            self.breaker.release()
            raise
        self.breaker.worked()

    def request(self, ask: Ask[Any]) -> httpx.Request:
        """The HTTP request."""
        headers = {
            "x-api-key": self._secret if ask.secret else self._public,
            "accept": "application/json",
            "accept-language": ask.lang,
        }
        if ask.repeat_key:
            headers["idempotency-key"] = ask.repeat_key
        if ask.address:  # an upstream that believes it counts visitors by it, and not all of ours as one
            headers["x-forwarded-for"] = ask.address
        if ask.challenge:
            headers |= {"x-challenge-token": ask.challenge, "x-cf-turnstile-token": ask.challenge}
        given = {name: value for name, value in ask.fields.items() if value is not None}
        extensions = {"timeout": self.timeout.as_dict()}
        url = self._url + ask.path
        if ask.method == "GET":
            return httpx.Request("GET", url, params=given, headers=headers, extensions=extensions)
        return httpx.Request(ask.method, url, json=given, headers=headers, extensions=extensions)

    def read(self, ask: Ask[T], response: httpx.Response, body: bytes) -> T:
        """What was answered. Raises the refusal that it is, or `Down`."""
        status, rest = response.status_code, _rest(response.headers.get("retry-after", ""))
        try:
            answer = msgspec.json.decode(body)
        except NOT_JSON:
            raise _strange(ask, status, rest) from None
        refused = isinstance(answer, dict) and ("sys_message" in answer or answer.get("success") is False)
        if 200 <= status < 300 and not refused:
            return ask.read(part(answer, "data") if ask.wrapped else answer)
        if status >= 500 or not isinstance(answer, dict) or not isinstance(answer.get("sys_message"), str):
            raise _strange(ask, status, rest)
        log.info("%s: the upstream refused: %s", ask.path, answer["sys_message"])
        raise _refusal(status, answer, rest)


# Parts of answers


def part(answer: Any, name: str) -> Any:
    """A field of an object. Raises `Down` where there is none."""
    if not isinstance(answer, dict) or name not in answer:
        raise Down(f"an answer without {name}")
    return answer[name]


def text(answer: Any, name: str) -> str:
    """A text that must be there. Raises `Down`."""
    value = part(answer, name)
    if not isinstance(value, str) or not value:
        raise Down(f"an answer whose {name} is no text")
    return value


def text_or_none(answer: Any, name: str) -> str | None:
    """A text that may be missing. Raises `Down` where the answer is no object."""
    if not isinstance(answer, dict):
        raise Down("an answer that is no object")
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def number_or(answer: Any, name: str, otherwise: int) -> int:
    """A whole number from 0, `otherwise` where there is none."""
    value = answer.get(name) if isinstance(answer, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


# Refusals


def _strange(ask: Ask[Any], status: int, rest: int) -> Down | errors.GatewayError:
    """What an answer means that is not the contract's, such as a proxy's or a framework's own.

    A 4xx is about the request: whoever makes such requests shall not shut the site down for everybody.
    """
    if not 400 <= status < 500:
        return Down(f"{status} from {ask.path}")
    log.warning("%s: the upstream refused with %s, not as the contract says", ask.path, status)
    if status == errors.TooOften.status:
        return errors.TooOften(rest)
    if status == errors.NotFound.status and ask.ours:
        return errors.NotFound()
    return Down(f"{status} from {ask.path}", our_fault=True)


def _rest(retry_after: str) -> int:
    """The seconds of a `Retry-After`; `DEFAULT_REST` where it is missing or a date."""
    if not re.fullmatch("[0-9]{1,9}", retry_after):
        return DEFAULT_REST
    return min(max(1, int(retry_after)), LONGEST_REST)


def _refusal(status: int, answer: dict[str, Any], rest: int) -> errors.GatewayError:
    """The upstream's refusal as ours, where we have it. `rest`: the seconds to wait where its params have none."""
    sys_message, sentence = answer["sys_message"], text_or_none(answer, "error") or ""
    given = answer.get("error_params")
    params: dict[str, Any] = given if isinstance(given, dict) else {}
    if sys_message == errors.BadRequest.sys_message:
        return _bad_request(params, sentence)
    if sys_message == errors.WrongCode.sys_message:
        return errors.WrongCode(number_or(params, "count", 0))
    for waits in (errors.TooSoon, errors.DestinationBlocked, errors.CallerBlocked):
        if sys_message == waits.sys_message:
            return waits(number_or(params, "timeout", rest))
    for known in _KNOWN:
        if sys_message == known.sys_message:
            return known()
    return UpstreamRefusal(status, sys_message, sentence, params)


_KNOWN = (
    errors.SessionExpired,
    errors.AccessDenied,
    errors.NoChannels,
    errors.NoChannel,
    errors.ChannelCannotReach,
    errors.NotFound,
)


def _bad_request(params: dict[str, Any], sentence: str) -> errors.BadRequest:
    fields = params.get("fields")
    for field, reason in fields.items() if isinstance(fields, dict) else ():
        return errors.BadRequest(str(field), str(reason))
    return errors.BadRequest("request", sentence or "400")
