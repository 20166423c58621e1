"""`HostedGateway`: the verbs on a kod.mobi account, or any server of its contract (`KODMOBI_URL`).

Nothing is stored here: sessions, codes, delivery and the bot are the upstream's. The keys are the account's own.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import httpx

from gateway import codes, errors
from gateway.channels import Channel, SessionChannel
from gateway.clock import Clock, system_clock
from gateway.contact import Contact
from gateway.hosted import asks
from gateway.hosted.upstream import LARGEST_ANSWER, Ask, Down, Upstream, down
from gateway.keyring import Keyring
from gateway.metrics import Metrics
from gateway.projects import Project, ProjectSettings
from gateway.settings import Settings
from gateway.store.entries import Actor
from gateway.verbs import (
    Caller,
    Challenge,
    Checked,
    Created,
    Draft,
    ManualSent,
    MessageStatus,
    Progress,
    Sent,
    SettingsAnswer,
    Verified,
)

T = TypeVar("T")

PROJECT_ID = 1
SETTINGS_AGE = 60.0  # seconds until a change of the upstream's settings is seen here
SETTINGS_RETRY = 5.0  # and until they are asked for again where they could not be had
TRIES = 3  # of what is safe to repeat: a hiccup is over by then, an outage is not
RETRY_PAUSE = 0.1  # seconds; doubles
CONNECTIONS = 64  # to the upstream: as many as there are blocking threads, at most


class HostedGateway:
    """Implements `gateway.verbs.Gateway`, where each verb is described.

    Besides, every verb may raise `Unavailable` (the upstream is down; at once while the circuit breaker rests)
    or `UpstreamRefusal` (an error that only the upstream has).
    """

    def __init__(self, settings: Settings, clock: Clock = system_clock, *, metrics: Metrics | None = None) -> None:
        self.clock = clock
        self.metrics = metrics or Metrics()
        self.keyring = Keyring(settings.secret_keys)
        self._public, self._secret = settings.kodmobi_public_key, settings.kodmobi_secret_key
        self._upstream = Upstream(settings)
        self._client = httpx.Client(
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            follow_redirects=False,  # the keys go to KODMOBI_URL and nowhere else
            trust_env=False,
        )
        self._project = hosted_project(settings)
        self._read_next = 0.0

    def authenticate(self, key: str | None) -> tuple[Project, bool]:
        given = (key or "").encode()
        is_secret = secrets.compare_digest(given, self._secret.encode())
        if not is_secret and not secrets.compare_digest(given, self._public.encode()):
            raise errors.AccessDenied
        return self._known_project(), is_secret

    def project(self, project_id: int) -> Project | None:
        return self._known_project() if project_id == PROJECT_ID else None

    def create(
        self,
        caller: Caller,
        to: Contact,
        channel: Channel | None = None,
        *,
        send: bool = True,
        code: str | None = None,
        legacy: bool = False,
    ) -> Created:
        if legacy:
            return self._ask(asks.create_legacy(caller, to, channel, send, code, self.clock))
        return self._ask(asks.create(caller, to, channel, send, self.clock))

    def send(self, caller: Caller, session_id: str, channel: Channel, *, code: str | None = None) -> Sent:
        if code is not None:
            return self._ask(asks.send_legacy(caller, session_id, channel, code, self.clock))
        return self._ask(asks.send(caller, session_id, channel, self.clock))

    def channels(self, caller: Caller, session_id: str | None = None) -> list[SessionChannel]:
        return self._ask(asks.channels(caller, session_id))

    def check(self, caller: Caller, session_id: str, code: object) -> Checked:
        readings = codes.read_code(code)
        # A number stands for codes of several lengths: which one is meant, the upstream knows.
        entered = code if isinstance(code, int) else readings[0]
        return self._ask(asks.check(caller, session_id, entered))

    def collect(self, caller: Caller, session_id: str) -> Checked:  # noqa: ARG002 - the interface's
        raise errors.SessionExpired  # kod.mobi has no one tap

    def verify(self, caller: Caller, verify_token: str) -> Verified:
        _must_be_secret(caller)
        return self._ask(asks.verify(caller, verify_token, self.clock))

    def settings(self, caller: Caller, session_id: str | None = None) -> SettingsAnswer:
        return self._ask(asks.settings(caller, session_id, self._project.settings.name))

    def challenge_of(self, project: Project, *, demanded: bool = False) -> Challenge:  # noqa: ARG002
        return Challenge()  # the account's own is between the upstream and API clients, who may send its header

    def new_challenge(self, project: Project) -> dict[str, Any]:  # noqa: ARG002
        raise errors.NotFound

    def manual_send(self, caller: Caller, draft: Draft) -> ManualSent:
        _must_be_secret(caller)
        return self._ask(asks.manual_send(caller, draft))

    def message(self, caller: Caller, message_id: int) -> MessageStatus:
        _must_be_secret(caller)
        return self._ask(asks.message(caller, message_id))

    def progress(self, caller: Caller, session_id: str) -> Progress:
        channels: list[SessionChannel] | None = None
        with suppress(errors.SessionExpired):
            channels = self.channels(caller, session_id)
        return asks.progress_of(channels, session_id, caller.project, self.clock)

    def refused(
        self, actor: Actor, action: str, refusal: errors.GatewayError, project: Project | None = None
    ) -> None:
        """Nothing is kept here; the upstream knows its own refusals, and our log has a line for each."""

    async def aside(self, act: Callable[[], T]) -> T:
        return act()

    def together(self) -> None:
        """The upstream takes one at a time."""

    def ping(self) -> str | None:
        try:
            self.channels(Caller(self._project))
        except errors.GatewayError as refusal:
            return f"the upstream does not serve: {refusal.sys_message}"
        return None

    def close(self) -> None:
        self._client.close()

    def _known_project(self) -> Project:
        """The project with the upstream's settings, read now and then; the last known ones while it is down."""
        if time.monotonic() < self._read_next:
            return self._project
        self._read_next = time.monotonic() + SETTINGS_RETRY  # before asking: other threads go on meanwhile
        try:
            answer = self.settings(Caller(self._project))
        except errors.GatewayError:
            return self._project
        self._read_next = time.monotonic() + SETTINGS_AGE
        self._project = Project(
            PROJECT_ID,
            ProjectSettings(
                name=answer.project.name,
                origins=self._project.settings.origins,
                code_length=answer.code.length,
                digits=answer.code.digits,
                letters=answer.code.letters,
            ),
        )
        return self._project

    def _ask(self, ask: Ask[T]) -> T:
        """The upstream's answer. Repeated is only what is safe to repeat: a GET, and what never got there."""
        began, pause = time.monotonic(), RETRY_PAUSE
        for left in reversed(range(TRIES)):
            try:
                with self._upstream.asked():
                    return self._once(ask)
            except Down as problem:
                safe = ask.method == "GET" or problem.never_sent
                late = time.monotonic() - began > self._upstream.patience
                if not left or not safe or late or problem.our_fault:
                    break
            time.sleep(pause)
            pause *= 2
        raise errors.Unavailable(timeout=1)

    def _once(self, ask: Ask[T]) -> T:
        deadline = time.monotonic() + self._upstream.patience
        try:
            response = self._client.send(self._upstream.request(ask), stream=True)
            try:
                body = b""
                for more in response.iter_bytes():
                    body += more
                    if len(body) > LARGEST_ANSWER or time.monotonic() > deadline:
                        raise Down(f"too much, or too slowly, from {ask.path}")
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise down(problem, ask) from None
        return self._upstream.read(ask, response, body)


def hosted_project(settings: Settings) -> Project:
    """The one project of a hosted site, before the upstream has told more of it."""
    return Project(PROJECT_ID, ProjectSettings(name=settings.project_name, origins=settings.kodmobi_origins))


def _must_be_secret(caller: Caller) -> None:
    if not caller.secret:
        raise errors.AccessDenied
