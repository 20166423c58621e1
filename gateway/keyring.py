"""Everything that needs a secret: sealing, code derivation, keyed hashes and deep-link signatures.

The keys come from `SECRET_KEYS`: the first one signs and seals, all of them verify and open, so a key is
rotated by putting a new one in front. Every use derives its own subkey, so that no value of one purpose is
ever valid for another.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.keyed import keyed_hash

_ID = 4  # bytes of a key's id in front of whatever it sealed
_NONCE = 12  # AES-GCM's own
_MAC = 16  # bytes kept of a keyed hash: 128 bits against collision and guessing


class Unsealable(Exception):
    """None of `SECRET_KEYS` sealed this, or it was changed since."""


class SecretKey:
    """One of the operator's keys, with the subkeys derived from it."""

    def __init__(self, secret: str) -> None:
        root = secret.encode()
        self.id = _subkey(root, b"id")[:_ID]
        self.code = _subkey(root, b"code")
        self.mac = _subkey(root, b"mac")
        self.link = _subkey(root, b"link")
        self.tap = _subkey(root, b"tap")
        self.webhook = _subkey(root, b"webhook")
        self.seal = AESGCM(_subkey(root, b"seal"))
        self.token = _subkey(root, b"token")


class Keyring:
    """`SECRET_KEYS`, ready for use."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [SecretKey(secret) for secret in secrets]
        self._by_id = {key.id: key for key in self._keys}
        self.first = self._keys[0]

    def tokens(self, purpose: str) -> list[bytes]:
        """The signing keys of one purpose, oldest first as itsdangerous takes them."""
        return [_subkey(key.token, purpose.encode()) for key in reversed(self._keys)]

    def seal(self, text: str, bound_to: str) -> bytes:
        """Encrypt `text` so that it opens only beside `bound_to` (AES-256-GCM)."""
        nonce = os.urandom(_NONCE)
        return self.first.id + nonce + self.first.seal.encrypt(nonce, text.encode(), bound_to.encode())

    def open(self, sealed: bytes, bound_to: str) -> str:
        """The text that `seal` took. Raises `Unsealable`."""
        key = self._by_id.get(sealed[:_ID])
        nonce, ciphertext = sealed[_ID : _ID + _NONCE], sealed[_ID + _NONCE :]
        if key is None:
            raise Unsealable
        try:
            return key.seal.decrypt(nonce, ciphertext, bound_to.encode()).decode()
        except (InvalidTag, ValueError):
            raise Unsealable from None

    def sealed_with(self, sealed: bytes) -> SecretKey:
        """The key that sealed this, which is also the one its session's code is derived with."""
        try:
            return self._by_id[sealed[:_ID]]
        except KeyError:
            raise Unsealable from None

    def is_outdated(self, sealed: bytes) -> bool:
        """Whether a key other than the first sealed this, one that still opens it."""
        key = self._by_id.get(sealed[:_ID])
        return key is not None and key is not self.first

    def code_mac(self, session_id: str, code: str) -> bytes:
        """What is stored of a code: a keyed hash that tells nothing without the key."""
        return _code_mac(self.first, session_id, code)

    def code_macs(self, session_id: str, code: str) -> list[bytes]:
        """What would be stored of `code` under each key: one of them matches a right code."""
        return [_code_mac(key, session_id, code) for key in self._keys]

    def link_signature(self, session_id: str) -> bytes:
        """The signature of a deep link, 16 bytes."""
        return _link_signature(self.first, session_id)

    def is_link_signature(self, session_id: str, signature: bytes) -> bool:
        """Whether any key made this signature."""
        return any(hmac.compare_digest(_link_signature(key, session_id), signature) for key in self._keys)

    def webhook_secret(self, bot_id: int) -> str:
        """What Telegram shall show with every update of this bot: 43 characters of `A-Za-z0-9_-`."""
        return _webhook_secret(self.first, bot_id)

    def is_webhook_secret(self, bot_id: int, given: str) -> bool:
        """Whether any key made this secret."""
        shown = given.encode("utf-8", "surrogateescape")
        return any(hmac.compare_digest(_webhook_secret(key, bot_id).encode(), shown) for key in self._keys)


class Destinations:
    """Keyed hashes of contacts: how activations and sessions are found without storing a phone.

    The pepper lives in the database, sealed, so that rotating `SECRET_KEYS` loses no activation.
    """

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def hash(self, project_id: int, contact: str) -> bytes:
        """16 bytes that stand for `contact` within one project, and in no other."""
        return keyed_hash(self._pepper, b"%d:%s" % (project_id, contact.encode()))[:_MAC]

    def address(self, project_id: int, subject: bytes) -> bytes:
        """16 bytes that stand for an address, or its network, within one project."""
        return keyed_hash(self._pepper, b"address:%d:%s" % (project_id, subject))[:_MAC]

    def browser(self, project_id: int, secret: str) -> bytes:
        """16 bytes that stand for a browser by its own secret; empty where it has none."""
        if not secret:
            return b""
        return keyed_hash(self._pepper, b"browser:%d:%s" % (project_id, secret.encode()))[:_MAC]


def hash_api_key(key: str) -> bytes:
    """What is stored of an API key. Keys are random, 160 bits at least, so a plain hash is enough."""
    return sha256(b"kodgate api key\0" + key.encode()).digest()


def _subkey(root: bytes, purpose: bytes) -> bytes:
    return keyed_hash(root, b"kodgate " + purpose)


def _code_mac(key: SecretKey, session_id: str, code: str) -> bytes:
    return keyed_hash(key.mac, f"{session_id}:{code}".encode())[:_MAC]


def _webhook_secret(key: SecretKey, bot_id: int) -> str:
    return urlsafe_b64encode(hmac.digest(key.webhook, b"%d" % bot_id, "sha256")).decode().rstrip("=")


def _link_signature(key: SecretKey, session_id: str) -> bytes:
    return keyed_hash(key.link, session_id.encode())[:_MAC]
