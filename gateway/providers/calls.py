"""HTTP calls to one provider: connections are kept, answers are bounded, and failures are `TransientError`."""

from typing import Any

import aiohttp
import msgspec

from gateway.decoding import NOT_JSON
from gateway.providers import Options, TransientError

LARGEST_ANSWER = 64 * 1024  # bytes that are read of one: a hundred times the largest real one
LONGEST_WAIT = 300.0  # seconds that a provider may ask to wait: a session is over by then

_TRY_AGAIN = (408, 425, 429)


class Answer(msgspec.Struct, frozen=True):
    """What a provider answered; `retry_after` in seconds, where it said so."""

    status: int
    body: bytes
    retry_after: float | None

    @property
    def well(self) -> bool:
        return 200 <= self.status < 300

    @property
    def may_work_later(self) -> bool:
        """Whether the status alone says that the same request is worth making again."""
        return self.status in _TRY_AGAIN or self.status >= 500

    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except NOT_JSON:
            return None


class Calls:
    """Makes calls to the provider that `who` names in errors."""

    def __init__(self, who: str, options: Options) -> None:
        self._who = who
        self._timeout = aiohttp.ClientTimeout(total=options.timeout)
        self._concurrency = options.concurrency
        self._http: aiohttp.ClientSession | None = None

    async def make(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One request, whose redirects are not followed. Raises `TransientError` where no answer came."""
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return Answer(response.status, await _read(response), _retry_after(response))
        except TimeoutError:
            raise TransientError(f"{self._who} did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise TransientError(f"{self._who} could not be reached: {type(problem).__name__}") from None

    async def close(self) -> None:
        """Let go of connections."""
        if self._http:
            await self._http.close()

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            # No cookies: one that a provider sets for one message has no business with the next.
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._concurrency),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._http


def wait_of(seconds: object) -> float | None:
    """A wait that a provider asked for; None where that is no number, or none to wait by."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        return None
    return float(min(seconds, LONGEST_WAIT))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            break
    return bytes(body[:LARGEST_ANSWER])


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        return wait_of(float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
