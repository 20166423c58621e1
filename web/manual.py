"""The Manual API: a site's own server sends a code and asks how it went (seed: Manual send). Secret key only."""

from typing import Any

from gateway import errors
from gateway.aes256 import code_key, encode_code, is_encoded
from gateway.contact import parse_contact
from gateway.i18n import N_
from gateway.verbs import Caller, Draft, Gateway, MessageStatus
from web import fields
from web.fields import Fields

MESSAGES = "/manual/messages/"  # what follows is a message's number
LONGEST_KEY = 255  # characters of an Idempotency-Key
LARGEST_ID = 2**53 - 1  # above, a JSON number is no longer exact


def send(gateway: Gateway, caller: Caller, given: Fields) -> dict[str, Any]:
    """`POST /manual/send`: the answer's code is encrypted for the holder of the secret key that asks."""
    if not caller.secret:
        raise errors.AccessDenied
    channel = fields.channel(given, "channel")
    if channel is None:
        raise errors.BadRequest("channel", N_("is missing"))
    sent = gateway.manual_send(
        caller,
        Draft(
            to=parse_contact(fields.text(given, "to")),
            channel=channel,
            code=fields.own_code(given),
            provider_id=fields.number(given, "provider_id"),
            callback_url=fields.text_or_none(given, "callback_url"),
            repeat_key=_repeat_key(given),
        ),
    )
    code = sent.code if is_encoded(sent.code) else encode_code(sent.code, code_key(caller.key))
    return {"message": "Sent to queue.", "code": code, "message_id": sent.message_id}


def status(gateway: Gateway, caller: Caller, given: Fields) -> MessageStatus:
    """`GET /manual/messages/<id>` (ours)."""
    number = given["message_id"]
    if not number.isascii() or not number.isdecimal() or len(number) > 16 or int(number) > LARGEST_ID:
        raise errors.NotFound
    return gateway.message(caller, int(number))


def _repeat_key(given: Fields) -> str | None:
    key: str | None = given.get(fields.REPEAT_KEY)
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise errors.BadRequest(fields.REPEAT_KEY, N_("must be at most 255 letters, digits and signs"))
    return key


VERBS = {"/manual/send": {"POST": send}}
STATUS = {"GET": status}
