"""ALTCHA, proof of work v2 (altcha.org), on our own server: no network, no third party, no cookie.

The browser looks for the counter whose PBKDF2 begins as we say; WebCrypto does that natively, so that a program of
an attacker's is not much faster. The counter is drawn beforehand, which bounds the longest search and makes
checking one HMAC. What a challenge is for is signed in it: the project, and a ULID, spent like a verify token.
"""

import base64
import secrets
from binascii import Error as Base64Error
from typing import Any

import msgspec
from altcha import create_challenge, verify_solution

from gateway.clock import Clock
from gateway.ids import new_ulid
from gateway.keyring import Keyring
from gateway.settings import Settings
from gateway.store import Store

ALGORITHM = "PBKDF2/SHA-256"
LONGEST = 4096  # characters of a solution; a real one has 700


class _For(msgspec.Struct, frozen=True):
    """What a challenge is for."""

    id: str
    project: int
    era: int


class _Parameters(msgspec.Struct, frozen=True):
    data: _For
    expires_at: int = msgspec.field(name="expiresAt")


class _Challenge(msgspec.Struct, frozen=True):
    parameters: _Parameters


class _Payload(msgspec.Struct, frozen=True):
    challenge: _Challenge


class Altcha:
    """Makes challenges and checks their solutions, each good once for its project."""

    def __init__(self, store: Store, keyring: Keyring, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._life = settings.challenge_seconds
        self._cost = settings.challenge_cost
        self._tries = settings.challenge_tries
        signing, checking = keyring.tokens("altcha"), keyring.tokens("altcha solution")
        self._keys = list(zip(reversed(signing), reversed(checking), strict=True))  # the newest first
        self._decode = msgspec.json.Decoder(_Payload).decode

    def new(self, project_id: int) -> dict[str, Any]:
        """A challenge as its clients take it: `{parameters, signature}`."""
        now = self._clock()
        signing, checking = self._keys[0]
        fewest = self._tries // 2
        challenge = create_challenge(
            ALGORITHM,
            self._cost,
            counter=fewest + secrets.randbelow(self._tries - fewest),
            expires_at=now // 1000 + self._life,
            data={"id": new_ulid(now), "project": project_id, "era": self._store.era()},
            hmac_secret=signing,
            hmac_key_secret=checking,
        )
        return dict(challenge.to_dict())

    def is_good(self, project_id: int, token: str) -> bool:
        """Whether this is a solution of a challenge of the project's, shown for the first time."""
        if len(token) > LONGEST:
            return False
        try:
            shown = self._decode(base64.b64decode(token)).challenge.parameters
        except (ValueError, Base64Error, msgspec.DecodeError, RecursionError):
            return False
        if shown.data.project != project_id or shown.expires_at * 1000 <= self._clock():
            return False
        if not any(self._is_solved(token, *keys) for keys in self._keys):
            return False
        return self._store.spend(shown.data.id, shown.data.era)

    def _is_solved(self, token: str, signing: bytes, checking: bytes) -> bool:
        return bool(verify_solution(token, signing, hmac_key_secret=checking).verified)
