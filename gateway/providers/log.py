"""`log://`: the code goes into the log, masked contact beside it. For development; production refuses it."""

import logging

from gateway.contact import parse_contact
from gateway.errors import BadRequest
from gateway.providers import Message, Options, PermanentError, Receipt, WrongProviderUrl

log = logging.getLogger(__name__)


class LogProvider:
    """See `gateway.providers.Provider`."""

    async def send(self, message: Message) -> Receipt:
        try:
            contact = parse_contact(message.to)
        except BadRequest:
            raise PermanentError("neither a phone nor an email") from None
        log.info("by %s to %s: %s", message.channel, contact.mask, message.code)
        return Receipt()

    async def check(self) -> str:
        return "codes go into the log, at INFO"

    async def close(self) -> None:
        """Nothing is open."""


def open_provider(url: str, options: Options) -> LogProvider:
    """See `gateway.providers`."""
    if options.production:
        raise WrongProviderUrl("log:// is for development: in production no code belongs in a log")
    if url != "log://":
        raise WrongProviderUrl("log:// takes nothing behind it; write log://")
    return LogProvider()
