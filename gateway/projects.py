"""Projects: each a site with a key pair, its own channels and its own rules for codes."""

import secrets
from typing import Annotated

import msgspec

from gateway import codes
from gateway.channels import Channel

ALL_CHANNELS = (Channel.TELEGRAM, Channel.WHATSAPP, Channel.VIBER, Channel.SMS, Channel.EMAIL)


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator can choose for a project; stored as JSON, so that a new choice needs no migration."""

    name: str
    channels: tuple[Channel, ...] = ALL_CHANNELS
    default_channel: Channel | None = None
    code_length: Annotated[int, msgspec.Meta(ge=codes.SHORTEST, le=codes.LONGEST)] = 6
    digits: bool = True
    letters: bool = False
    session_seconds: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 180
    origins: tuple[str, ...] = ()
    bot_id: int = 0
    bot_username: str = ""

    @property
    def alphabet(self) -> str:
        """The characters of this project's codes."""
        return codes.alphabet(digits=self.digits, letters=self.letters)


class Project(msgspec.Struct, frozen=True):
    """A project as the verbs see it."""

    id: int
    settings: ProjectSettings


class KeyPair(msgspec.Struct, frozen=True):
    """A project's API keys, known in full only to whoever made them; the store keeps their hashes."""

    public: str
    secret: str


def new_keys() -> KeyPair:
    """A fresh pair, 192 random bits each."""
    return KeyPair("pk_" + secrets.token_urlsafe(24), "sk_" + secrets.token_urlsafe(24))
