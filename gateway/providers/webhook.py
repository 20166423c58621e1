"""`webhook+http(s)://…`: posts the message as JSON to a sender of the operator's own.

The body is `{message_id, channel, to, code, text, lang, project}`. Any 2xx means taken; 408, 425, 429 and 5xx
are tried again (429 and 503 after their Retry-After), everything else is final.
"""

import aiohttp
import msgspec

from gateway.providers import Message, Options, PermanentError, Receipt, TransientError

_TRY_AGAIN = (408, 425, 429)
_RETRY_AFTER_LONGEST = 300.0  # a session is over by then


class _Body(msgspec.Struct, frozen=True):
    message_id: int
    channel: str
    to: str
    code: str
    text: str
    lang: str
    project: str


class WebhookProvider:
    """See `gateway.providers.Provider`."""

    def __init__(self, url: str, options: Options) -> None:
        self._url = url.removeprefix("webhook+")
        self._timeout = aiohttp.ClientTimeout(total=options.timeout)
        self._concurrency = options.concurrency
        self._http: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> Receipt:
        body = _Body(
            message.id, message.channel, message.to, message.code, message.text, message.lang, message.project
        )
        try:
            async with self._session.post(
                self._url,
                data=msgspec.json.encode(body),
                headers={"content-type": "application/json"},
                allow_redirects=False,
            ) as response:
                await response.read()
        except TimeoutError:
            raise TransientError("the webhook did not answer in time") from None
        except aiohttp.ClientError as problem:
            raise TransientError(f"the webhook could not be reached: {type(problem).__name__}") from None
        if response.status in _TRY_AGAIN or response.status >= 500:
            raise TransientError(f"the webhook answered {response.status}", _retry_after(response))
        if not 200 <= response.status < 300:
            raise PermanentError(f"the webhook answered {response.status}")
        return Receipt()

    async def check(self) -> str:
        """A webhook has no question to ask without sending: whether it can be reached has to do."""
        try:
            async with self._session.head(self._url, allow_redirects=False) as response:
                return f"reached, answers {response.status}"
        except (TimeoutError, aiohttp.ClientError) as problem:
            raise TransientError(f"can't be reached: {type(problem).__name__}") from None

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            connector = aiohttp.TCPConnector(limit=self._concurrency)
            self._http = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._http


def open_provider(url: str, options: Options) -> WebhookProvider:
    """See `gateway.providers`."""
    return WebhookProvider(url, options)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        return min(_RETRY_AFTER_LONGEST, max(0.0, float(response.headers["retry-after"])))
    except (KeyError, ValueError):
        return None
