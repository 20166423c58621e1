"""Each verb as a request to the upstream: which path, which fields, and what the answer becomes.

What an answer lacks falls to the contract's default, what we don't know in it is left out.
"""

from typing import Any, cast

from ulid import ULID

from gateway.channels import Channel, SessionChannel
from gateway.clock import Clock, to_iso
from gateway.contact import Contact
from gateway.hosted.upstream import Ask, Down, number_or, part, text, text_or_none
from gateway.projects import Project
from gateway.verbs import (
    Caller,
    Challenge,
    Checked,
    CodeForm,
    Created,
    Delivery,
    Draft,
    ManualSent,
    MessageStatus,
    Progress,
    ProjectName,
    Sent,
    SettingsAnswer,
    Verified,
)

SESSION_MS = 180_000  # kod.mobi: a session is valid 3 minutes
A_DAY_MS = 24 * 3600 * 1000  # an id that tells another day is no ULID, or no clock of ours
CODE_LENGTH = 6  # where the upstream does not say, or says what no code of the contract has
LONGEST_CODE = 12


def create(caller: Caller, to: Contact, channel: Channel | None, send: bool, clock: Clock) -> Ask[Created]:
    """`POST /session/create`."""

    def read(answer: Any) -> Created:
        session_id = text(answer, "session_id")
        expires_at = text_or_none(answer, "session_expired_at") or to_iso(ends_at(session_id, clock))
        sent_to = text_or_none(answer, "sent_to") or "none"
        return Created(session_id, expires_at, sent_to, read_channels(part(answer, "channels")))

    return _post(caller, "/session/create", {"to": to.value, "type": channel, "send": send}, read)


def create_legacy(
    caller: Caller, to: Contact, channel: Channel | None, send: bool, code: str | None, clock: Clock
) -> Ask[Created]:
    """`/api/v2/message/create`."""

    def read(answer: Any) -> Created:
        session_id, sent_to = text(answer, "session_id"), text_or_none(answer, "sent_to") or "none"
        channels = read_channels(part(answer, "client_channels"))
        return Created(session_id, to_iso(ends_at(session_id, clock)), sent_to, channels)

    fields = {"phone": to.value, "type": channel, "send": send, "code": code}
    return _post(caller, "/api/v2/message/create", fields, read, wrapped=True)


def send(caller: Caller, session_id: str, channel: Channel, clock: Clock) -> Ask[Sent]:
    """`POST /session/send`."""

    def read(answer: Any) -> Sent:
        expires_at = text_or_none(answer, "session_expired_at") or to_iso(ends_at(session_id, clock))
        return Sent(session_id, expires_at, read_channel(part(answer, "channel")))

    return _post(caller, "/session/send", {"session_id": session_id, "type": channel}, read)


def send_legacy(caller: Caller, session_id: str, channel: Channel, code: str, clock: Clock) -> Ask[Sent]:
    """`/api/v2/message/send`, which alone takes a caller's own code."""

    def read(answer: Any) -> Sent:
        return Sent(session_id, to_iso(ends_at(session_id, clock)), read_channel(part(answer, "client_channel")))

    fields = {"session_id": session_id, "type": channel, "code": code}
    return _post(caller, "/api/v2/message/send", fields, read, wrapped=True)


def channels(caller: Caller, session_id: str | None) -> Ask[list[SessionChannel]]:
    """`GET /session/channels`."""
    return _get(caller, "/session/channels", {"session_id": session_id}, read_channels)


def check(caller: Caller, session_id: str, code: str | int) -> Ask[Checked]:
    """`POST /session/check`."""

    def read(answer: Any) -> Checked:
        return Checked(text(answer, "verify_token"), answer.get("is_test") is True)

    return _post(caller, "/session/check", {"session_id": session_id, "code": code}, read)


def verify(caller: Caller, verify_token: str, clock: Clock) -> Ask[Verified]:
    """`POST /session/verify`; kod.mobi answers `{phone}` or `{email}` alone."""

    def read(answer: Any) -> Verified:
        phone, email = text_or_none(answer, "phone"), text_or_none(answer, "email")
        if phone and not phone.startswith("+"):
            phone = f"+{phone}"
        channel = text_or_none(answer, "channel")
        return Verified(
            to=email or phone or text(answer, "to"),
            verified_at=text_or_none(answer, "verified_at") or to_iso(clock()),
            session_id=text_or_none(answer, "session_id"),
            phone=phone,
            email=email,
            channel=Channel(channel) if channel in list(Channel) else None,
            is_test=answer.get("is_test") is True,
        )

    return _post(caller, "/session/verify", {"verify_token": verify_token}, read)


def settings(caller: Caller, session_id: str | None, otherwise: str) -> Ask[SettingsAnswer]:
    """`GET /session/settings`; `otherwise` is the project's name where the upstream has none."""

    def read(answer: Any) -> SettingsAnswer:
        code, project, challenge = (answer_part(answer, name) for name in ("code", "project", "challenge"))
        length = number_or(code, "length", CODE_LENGTH)
        return SettingsAnswer(
            language=text_or_none(answer, "language") or caller.lang,
            project=ProjectName(text_or_none(project, "name") or otherwise),
            code=CodeForm(
                length=length if 1 <= length <= LONGEST_CODE else CODE_LENGTH,
                digits=code.get("digits") is not False,
                letters=code.get("letters") is True,
            ),
            challenge=Challenge(
                challenge.get("enabled") is True,
                text_or_none(challenge, "api_key"),
                text_or_none(challenge, "provider"),
            ),
        )

    return _get(caller, "/session/settings", {"session_id": session_id}, read)


def manual_send(caller: Caller, draft: Draft) -> Ask[ManualSent]:
    """`POST /manual/send`; its code is encrypted for the key's holder, who is our caller, too."""

    def read(answer: Any) -> ManualSent:
        code = text_or_none(answer, "code")
        if code is None:
            part(answer, "message_id")  # with a number it is on its way, and "down" would have it sent once more
            code = draft.code or ""
        return ManualSent(number_or(answer, "message_id", 0), code)

    fields = {
        "to": draft.to.value,
        "channel": draft.channel,
        "code": draft.code,
        "provider_id": draft.provider_id,
        "callback_url": draft.callback_url,
    }
    return _post(caller, "/manual/send", fields, read, repeat_key=draft.repeat_key)


def message(caller: Caller, message_id: int) -> Ask[MessageStatus]:
    """`GET /manual/messages/<id>`, which only a Kodgate has."""

    def read(answer: Any) -> MessageStatus:
        channel = text(answer, "channel")
        if channel not in list(Channel):
            raise Down("a message of an unknown channel")
        return MessageStatus(
            message_id=message_id,
            status=cast(Delivery, text(answer, "status")),
            channel=Channel(channel),
            to=text(answer, "to"),
            error=text_or_none(answer, "error") or "",
            finished_at=text_or_none(answer, "finished_at"),
        )

    return _get(caller, f"/manual/messages/{message_id}", {}, read, ours=True)


def progress_of(
    channels: list[SessionChannel] | None, session_id: str, project: Project, clock: Clock
) -> Progress:
    """Where a session stands, as far as its channels tell; None: the upstream says that it is over.

    A channel that rests has sent, the one that rests longest last; a Telegram that rests and is not active has its
    code waiting.
    """
    deliveries: dict[Channel, Delivery] = {}
    for channel in sorted(channels or (), key=lambda channel: channel.timeout):
        if channel.timeout:
            waits = channel.type is Channel.TELEGRAM and not channel.is_active
            deliveries[channel.type] = "parked" if waits else "sent"
    return Progress(
        "live" if channels is not None else "expired",
        ends_at(session_id, clock),
        channels or [],
        deliveries,
        project.settings.code_length,
    )


def ends_at(session_id: str, clock: Clock) -> int:
    """When a session ends, by its ULID's own time; for an id that is none, a session's life from now."""
    now = clock()
    try:
        began = ULID.from_str(session_id.upper()).milliseconds
    except ValueError:
        began = now
    return (began if abs(began - now) < A_DAY_MS else now) + SESSION_MS


def read_channels(answer: Any) -> list[SessionChannel]:
    """`[SessionChannel]`; channels that we don't know are left out. Raises `Down`."""
    if not isinstance(answer, list):
        raise Down("channels that are no array")
    return [read_channel(one) for one in answer if isinstance(one, dict) and one.get("type") in list(Channel)]


def read_channel(answer: Any) -> SessionChannel:
    """One `SessionChannel`. Raises `Down`."""
    kind = text(answer, "type")
    if kind not in list(Channel):
        raise Down("an unknown channel")
    return SessionChannel(
        name=text_or_none(answer, "name") or kind.title(),
        type=Channel(kind),
        is_active=answer.get("is_active") is True,
        timeout=min(60, number_or(answer, "timeout", 0)),
        image_url=text_or_none(answer, "image_url") or "",
        link=text_or_none(answer, "link") or "",
        description=text_or_none(answer, "description") or "",
    )


def answer_part(answer: Any, name: str) -> dict[str, Any]:
    """An object within an object, empty where there is none."""
    value = answer.get(name) if isinstance(answer, dict) else None
    return value if isinstance(value, dict) else {}


def _get(caller: Caller, path: str, fields: dict[str, Any], read: Any, *, ours: bool = False) -> Ask[Any]:
    return Ask("GET", path, fields, caller.lang, read, secret=caller.secret, address=caller.address, ours=ours)


def _post(
    caller: Caller,
    path: str,
    fields: dict[str, Any],
    read: Any,
    *,
    wrapped: bool = False,
    repeat_key: str | None = None,
) -> Ask[Any]:
    return Ask(
        "POST",
        path,
        fields,
        caller.lang,
        read,
        secret=caller.secret,
        wrapped=wrapped,
        repeat_key=repeat_key,
        challenge=caller.challenge,
        address=caller.address,
    )
