"""The ways a code can travel, as the contract's `Channel` and `SessionChannel`."""

from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.i18n import N_


class Channel(StrEnum):
    """A channel is what the visitor sees; a provider is how it is reached."""

    TELEGRAM = "telegram"
    WHATSAPP = "whatsapp"
    VIBER = "viber"
    SMS = "sms"
    EMAIL = "email"

    @property
    def kind(self) -> str:
        """Which contacts it reaches: `phone` or `email`."""
        return "email" if self is Channel.EMAIL else "phone"


PAID = (Channel.WHATSAPP, Channel.VIBER, Channel.SMS)
"""Those whose providers charge for each message."""

NAMES = {
    Channel.TELEGRAM: "Telegram",
    Channel.WHATSAPP: "Whatsapp",  # as kod.mobi spells it
    Channel.VIBER: "Viber",
    Channel.SMS: "SMS",
    Channel.EMAIL: "Email",
}

DESCRIPTIONS = {
    Channel.TELEGRAM: N_("From our bot, free and instant"),
    Channel.WHATSAPP: N_("A message in WhatsApp"),
    Channel.VIBER: N_("A message in Viber"),
    Channel.SMS: N_("A text message"),
    Channel.EMAIL: N_("A letter to your inbox"),
}


class SessionChannel(msgspec.Struct, frozen=True):
    """One channel of a session, in the contract's own shape (seed: Session channels).

    `timeout` is the whole seconds, 0 to 60, until it can send again; `is_active` says whether this user can be
    reached there now; `link` is Telegram's deep link, else the site's address.
    """

    name: str
    type: Channel
    is_active: bool
    timeout: Annotated[int, msgspec.Meta(ge=0, le=60)]
    image_url: str
    link: str
    description: str
