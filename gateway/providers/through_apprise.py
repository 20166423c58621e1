"""`apprise+SCHEME://…`: any service that Apprise knows (Twilio, Vonage, MessageBird, Plivo, SNS, …), by its URL.

`{to}` in the URL stands for the destination: a phone's digits, or the email. Without it the destination is
appended as the last element of the path, where most of Apprise's services take it. What is posted is Apprise's
affair. Source: Apprise's documented URLs and its `Apprise.notify`. It is loaded only here.
"""

import asyncio
import logging
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any
from urllib.parse import quote

from gateway.channels import Channel
from gateway.providers import Message, Options, Receipt, TransientError, WrongProviderUrl

_EXAMPLE = "apprise+twilio://ACCOUNT_SID:AUTH_TOKEN@FROM_PHONE/{to}"
_SAMPLES = ("12025550123", "ann@example.com")


class AppriseProvider:
    """See `gateway.providers.Provider`. `template` is the service's URL, `apprise` the library."""

    def __init__(self, template: str, apprise: ModuleType, options: Options) -> None:
        self._template = template
        self._apprise = apprise
        self._timeout = options.timeout
        self._asset = apprise.AppriseAsset(
            http_redirects=False,
            storage_mode="memory",  # no files in the home folder
            async_mode=False,
            service_timeout=0,  # we have our own, and need none of its threads
        )
        # Threads of our own: a slow service must not take the loop's, which look up names for everybody.
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="apprise")

    @property
    def is_understood(self) -> bool:
        """Whether Apprise can read the URL."""
        return any(self._service(sample) for sample in _SAMPLES)

    async def send(self, message: Message) -> Receipt:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + self._timeout
        try:
            async with asyncio.timeout(self._timeout):
                well = await loop.run_in_executor(self._threads, self._notify, message, until)
        except TimeoutError:
            raise TransientError("Apprise did not end in time") from None
        if not well:
            # It answers no more than this: a wrong number and a lost connection look the same.
            raise TransientError("Apprise could not deliver the message")
        return Receipt()

    async def check(self) -> str:
        return "Apprise understands the URL; it can't be asked more without sending"

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _notify(self, message: Message, until: float) -> bool:
        """Raises `TimeoutError` where it is that late (monotonic) already: it waited for the thread."""
        if time.monotonic() >= until:
            raise TimeoutError
        service = self._service(message.to)
        if not service:
            return False
        # What nobody waits for any longer shall not go on for long.
        service.socket_connect_timeout = min(service.socket_connect_timeout, self._timeout)
        service.socket_read_timeout = min(service.socket_read_timeout, self._timeout)
        # A title is a letter's subject; of an SMS it would become a part.
        title = message.project if message.channel is Channel.EMAIL else ""
        sender = self._apprise.Apprise(service, asset=self._asset)
        return bool(sender.notify(message.text, title, body_format=self._apprise.NotifyFormat.TEXT))

    def _service(self, to: str) -> Any:
        """Apprise's service that sends to `to`, None where it understands no such URL."""
        return self._apprise.Apprise.instantiate(_addressed(self._template, to), asset=self._asset)


def open_provider(url: str, options: Options) -> AppriseProvider:
    """See `gateway.providers`."""
    provider = AppriseProvider(url.partition("+")[2], _load(), options)
    if not provider.is_understood:
        raise WrongProviderUrl(f"is none that Apprise understands; an example: {_EXAMPLE}")
    return provider


def _addressed(template: str, to: str) -> str:
    destination = quote(to, safe="") if "@" in to else to.lstrip("+")
    if "{to}" in template:
        return template.replace("{to}", destination)
    address, mark, query = template.partition("?")
    return f"{address.rstrip('/')}/{destination}{mark}{query}"


def _load() -> ModuleType:
    """Apprise with all its plugins: some 40 MiB, for who names one."""
    for name in ("apprise", "urllib3", "oauthlib", "requests_oauthlib"):
        # Their lines hold destinations and, at DEBUG, codes and keys.
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what its plugins import is not our affair
        import apprise

        apprise.Apprise.instantiate("json://localhost")  # the first URL loads the plugins
    return apprise
