"""Signed tokens: verify, live and widget tokens, and the deep link's payload.

All but the payload are itsdangerous' timed signatures, one key a purpose; the payload is squeezed into the 64
characters of `A-Za-z0-9_-` that Telegram's `start` parameter takes.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import Generic, TypeVar

import msgspec
from itsdangerous import BadSignature, TimestampSigner

from gateway.clock import AHEAD, Clock
from gateway.keyring import Keyring

_ULID = 26
LIVE_SECONDS = 3600 + 300  # the longest session, and a slow page
_PAYLOAD = 48  # ULID and 16 bytes in base64 without padding

T = TypeVar("T")


class InvalidToken(Exception):
    """Not ours, changed, too old, or from before the clock was put back."""


class _Signer(TimestampSigner):
    """itsdangerous' timed signatures, by our clock."""

    clock: Clock

    def get_timestamp(self) -> int:
        return self.clock() // 1000


class Tokens(Generic[T]):
    """Tokens of one purpose, each carrying one `T` (a msgspec struct, readable by whoever holds the token)."""

    def __init__(self, keyring: Keyring, purpose: str, carries: type[T], seconds: int, clock: Clock) -> None:
        self._life = seconds * 1000
        self._clock = clock
        self._signer = _Signer(keyring.tokens(purpose), salt=purpose, key_derivation="none", digest_method=sha256)
        self._signer.clock = clock
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(carries)

    def sign(self, value: T) -> str:
        """A token that `read` gives back for `seconds`."""
        body = urlsafe_b64encode(self._encoder.encode(value)).rstrip(b"=")
        return self._signer.sign(body).decode("ascii")

    def read(self, token: str) -> tuple[T, int]:
        """What the token carries, and when it was signed (milliseconds). Raises `InvalidToken`."""
        try:
            _must_be_canonical(token)
            body, signed = self._signer.unsign(token, return_timestamp=True)
            value = self._decoder.decode(_unpadded(body))
        except (BadSignature, Base64Error, msgspec.DecodeError, ValueError):
            raise InvalidToken from None
        signed_at = int(signed.timestamp() * 1000)
        if not self._clock() - self._life <= signed_at <= self._clock() + AHEAD:
            raise InvalidToken
        return value, signed_at


class LiveClaim(msgspec.Struct, frozen=True, array_like=True):
    """What a live token carries: whose progress its stream may tell."""

    project_id: int
    session_id: str
    lang: str


def live_tokens(keyring: Keyring, clock: Clock) -> Tokens[LiveClaim]:
    """The tokens in a live stream's address: web signs them, the bot process reads them."""
    return Tokens(keyring, "live", LiveClaim, LIVE_SECONDS, clock)


def write_payload(keyring: Keyring, session_id: str) -> str:
    """The `start` parameter of a session's deep link."""
    return session_id + urlsafe_b64encode(keyring.link_signature(session_id)).rstrip(b"=").decode("ascii")


def read_payload(keyring: Keyring, payload: str) -> str:
    """The session id of a `start` parameter. Raises `InvalidToken`."""
    session_id = payload[:_ULID]
    if len(payload) != _PAYLOAD or not payload.isascii():
        raise InvalidToken
    signed = payload[_ULID:].encode("ascii")
    try:
        signature = _unpadded(signed)
    except Base64Error:
        raise InvalidToken from None
    # base64 has several spellings for the same bytes: only the one that we write is ours.
    if urlsafe_b64encode(signature).rstrip(b"=") != signed or not keyring.is_link_signature(session_id, signature):
        raise InvalidToken
    return session_id


def _must_be_canonical(token: str) -> None:
    """Of the spellings that base64 has for the same signature only the one that we write is read.

    Raises `BadSignature`, `ValueError`.
    """
    signature = token.rpartition(".")[2].encode("ascii")
    if urlsafe_b64encode(_unpadded(signature)).rstrip(b"=") != signature:
        raise BadSignature("spelt otherwise")


def _unpadded(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))
