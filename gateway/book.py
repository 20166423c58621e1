"""`ProjectBook`: the projects by their keys, by id and by bot, read from the store now and then."""

import base64
import math
import time
from dataclasses import dataclass

import msgspec

from gateway import errors
from gateway.aes256 import code_key
from gateway.clock import Clock
from gateway.keyring import Keyring, Unsealable, hash_api_key
from gateway.projects import KeyPair, Project, ProjectSettings
from gateway.store import ApiKey, Store
from gateway.store.entries import By

MAX_AGE = 5.0  # seconds until a change made by another process is seen here
UNKNOWN_KEY_AGE = 1.0  # and sooner for a key never seen, but not at every guess
_CODE_KEY = "code key"  # what a sealed code key is bound to, so that it opens as nothing else
_OWN_BOT = "bot token"  # and a bot's
_CHALLENGE = "challenge secret"  # and a CAPTCHA provider's


@dataclass(frozen=True, slots=True)
class _Entry:
    project: Project
    key: ApiKey


class ProjectBook:
    """Safe to share between threads: what is read is replaced as a whole."""

    def __init__(self, store: Store, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._read_at = -math.inf
        self._readers = 0
        self._changes = 0
        self._by_key: dict[bytes, _Entry] = {}
        self._by_id: dict[int, Project] = {}

    def by_key(self, key: str | None) -> tuple[Project, bool]:
        """The project of an API key, and whether it is the secret one. Raises `AccessDenied`."""
        if not key:
            raise errors.AccessDenied
        digest = hash_api_key(key)
        self._refresh(MAX_AGE)
        if digest not in self._by_key:
            self._refresh(UNKNOWN_KEY_AGE)
        entry = self._by_key.get(digest)
        if entry is None or self._has_ended(entry.key):
            raise errors.AccessDenied
        return entry.project, entry.key.secret

    def by_id(self, project_id: int) -> Project | None:
        self._refresh(MAX_AGE)
        if project_id not in self._by_id:
            self._refresh(UNKNOWN_KEY_AGE)
        return self._by_id.get(project_id)

    def all(self) -> list[Project]:
        """Every project."""
        self._refresh(MAX_AGE)
        return list(self._by_id.values())

    def by_bot(self, bot_id: int) -> list[Project]:
        """The projects whose bot this is."""
        self._refresh(MAX_AGE)
        return [project for project in self._by_id.values() if project.settings.bot_id == bot_id]

    def code_keys(self, project_id: int) -> list[bytes]:
        """What decrypts codes encrypted with one of the project's secret keys (gateway.aes256), today's first."""
        self._refresh(MAX_AGE)
        keys = [entry.key for entry in self._by_key.values() if entry.project.id == project_id]
        keys.sort(key=lambda key: key.expires_at is not None)
        sealed = [key.code_key for key in keys if key.code_key and not self._has_ended(key)]
        return [opened for one in sealed if (opened := self._opened(one))]

    def bot_token(self, project: Project) -> str:
        """The token of the project's own bot, "" where it uses the server's. Raises `Unsealable`."""
        sealed = project.settings.bot_token
        return self._keyring.open(base64.b64decode(sealed), _OWN_BOT) if sealed else ""

    def challenge_secret(self, project: Project) -> str:
        """The secret of the project's CAPTCHA provider, "" where it has none. Raises `Unsealable`."""
        sealed = project.settings.challenge_secret
        return self._keyring.open(base64.b64decode(sealed), _CHALLENGE) if sealed else ""

    def set_challenge_secret(self, project: Project, secret: str, by: By | None = None) -> None:
        """From now on this is the secret of the project's CAPTCHA provider; "": none."""
        changed = msgspec.structs.replace(project.settings, challenge_secret=self._seal(secret, _CHALLENGE))
        self._store.change_project(project.id, changed, by)
        self.forget()

    def set_bot(self, project: Project, token: str, bot_id: int, by: By | None = None) -> None:
        """From now on the project has this bot; token "" and id 0: the server's, as soon as that says its name."""
        changed = msgspec.structs.replace(
            project.settings, bot_token=self._seal(token, _OWN_BOT), bot_id=bot_id, bot_username=""
        )
        self._store.change_project(project.id, changed, by)
        self.forget()

    def renew_seals(self) -> None:
        """Seal what outlives a day with the first of `SECRET_KEYS`, so that the operator can drop the others."""
        for key in self._store.api_keys():
            if key.code_key and self._keyring.is_outdated(key.code_key):
                code_key = self._keyring.open(key.code_key, _CODE_KEY)
                self._store.reseal_key(key.hash, self._keyring.seal(code_key, _CODE_KEY))
        for project in self._store.projects():
            renewed = {
                name: self._renewed(sealed, bound_to)
                for name, bound_to in (("bot_token", _OWN_BOT), ("challenge_secret", _CHALLENGE))
                if self._is_outdated(sealed := getattr(project.settings, name))
            }
            if renewed:
                self._store.change_project(project.id, msgspec.structs.replace(project.settings, **renewed))

    def ensure_first(self, settings: ProjectSettings, keys: KeyPair, keep_seconds: int) -> None:
        """The first project exists and has these keys; others that it had work for `keep_seconds` more.

        Raises `StoreError` where another one has them.
        """
        public, secret, sealed = self._hashed(keys)
        now = self._clock()
        self._store.ensure_first_project(settings, public, secret, sealed, now, now + keep_seconds * 1000)
        for key in self._store.api_keys():
            if key.hash == secret and not (key.code_key and self._opened(key.code_key)):
                self._store.reseal_key(secret, sealed)  # its old seal is lost, but here is the key itself
        self.forget()

    def set_keys(self, project_id: int, keys: KeyPair, keep_seconds: int, by: By | None = None) -> None:
        """New keys for a project; those it had work for `keep_seconds` more. Raises `StoreError`."""
        self._store.set_keys(project_id, *self._hashed(keys), self._clock() + keep_seconds * 1000, by)
        self.forget()

    def forget(self) -> None:
        """Read anew at the next call."""
        self._read_at = -math.inf
        self._changes += 1

    def _opened(self, sealed: bytes) -> bytes | None:
        """A code key; None where SECRET_KEYS has lost the key that sealed it."""
        try:
            return self._keyring.open(sealed, _CODE_KEY).encode()
        except Unsealable:
            return None

    def _seal(self, secret: str, bound_to: str) -> str:
        return base64.b64encode(self._keyring.seal(secret, bound_to)).decode() if secret else ""

    def _is_outdated(self, sealed: str) -> bool:
        return bool(sealed) and self._keyring.is_outdated(base64.b64decode(sealed))

    def _renewed(self, sealed: str, bound_to: str) -> str:
        return self._seal(self._keyring.open(base64.b64decode(sealed), bound_to), bound_to)

    def _hashed(self, keys: KeyPair) -> tuple[bytes, bytes, bytes]:
        sealed = self._keyring.seal(code_key(keys.secret).decode(), _CODE_KEY)
        return hash_api_key(keys.public), hash_api_key(keys.secret), sealed

    def _has_ended(self, key: ApiKey) -> bool:
        return key.expires_at is not None and key.expires_at <= self._clock()

    def _refresh(self, age: float) -> None:
        """Where another is just reading, what is known will do, unless it lacks what is asked for."""
        began, changes = time.monotonic(), self._changes
        known = self._read_at > -math.inf
        if began - self._read_at < age or (known and self._readers and age == MAX_AGE):
            return
        self._readers += 1
        try:
            by_id = {project.id: project for project in self._store.projects()}
            keys = self._store.api_keys()
        finally:
            self._readers -= 1
        self._by_id = by_id
        self._by_key = {key.hash: _Entry(by_id[key.project_id], key) for key in keys if key.project_id in by_id}
        if changes == self._changes:  # else what was read may be from before
            self._read_at = began
