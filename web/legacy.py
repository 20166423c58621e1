"""The Message API, kod.mobi's legacy: thin translations to the same verbs, and the answers wrapped.

GET as published (seed: Client API V2) and POST as observed, with the parameters in the query or the body. The
phone comes as `7952…`, `+7952…` or `8952…`.
"""

import re
from typing import Any

from gateway import errors
from gateway.channels import Channel
from gateway.codes import LONGEST
from gateway.contact import Contact, parse_contact
from gateway.i18n import N_
from gateway.verbs import Caller, Gateway
from web import fields
from web.fields import Fields

_NATIONAL = re.compile(r"8[\s(-]*\d")  # how a Russian number is written at home
_HOME = "RU"
_MAY_LACK_ZEROS = re.compile(rf"0|[1-9][0-9]{{0,{LONGEST - 2}}}")  # what begins with zeros has kept them


def create(gateway: Gateway, caller: Caller, given: Fields) -> dict[str, Any]:
    """`message/create`: `{session_id, sent_to, client_channels}`."""
    created = gateway.create(
        caller,
        _contact(given),
        fields.channel(given),
        send=fields.flag(given, "send", default=True),
        code=fields.own_code(given),
        legacy=True,
    )
    return _wrapped(session_id=created.session_id, sent_to=created.sent_to, client_channels=created.channels)


def send(gateway: Gateway, caller: Caller, given: Fields) -> dict[str, Any]:
    """`message/send`: `{session_id, client_channel}`; without a type, on the channel that sent last."""
    session_id = fields.session_id(given)
    channel = fields.channel(given) or _default_channel(gateway, caller, session_id)
    sent = gateway.send(caller, session_id, channel, code=fields.own_code(given))
    return _wrapped(session_id=sent.session_id, client_channel=sent.channel)


def check(gateway: Gateway, caller: Caller, given: Fields) -> dict[str, Any]:
    """`message/check`: `{verify_token, is_test}`. A code of digits may have lost its zeros on the way here."""
    code = fields.code(given)
    worn = isinstance(code, str) and _MAY_LACK_ZEROS.fullmatch(code)
    checked = gateway.check(caller, fields.session_id(given), int(code) if worn else code)
    return _wrapped(verify_token=checked.verify_token, is_test=checked.is_test)


def verify(gateway: Gateway, caller: Caller, given: Fields) -> dict[str, Any]:
    """`message/verify`, secret key: `{phone}`."""
    verified = gateway.verify(caller, fields.text(given, "verify_token"))
    return _wrapped(**({"email": verified.email} if verified.email else {"phone": verified.phone}))


def check_channel(gateway: Gateway, caller: Caller, given: Fields) -> dict[str, Any]:
    """`channel/check`: the `SessionChannel` itself."""
    wanted = fields.channel(given)
    if wanted is None:
        raise errors.BadRequest("type", N_("is missing"))
    for channel in gateway.channels(caller, fields.session_id(given)):
        if channel.type is wanted:
            return {"success": True, "data": channel}
    raise errors.NoChannel


PREFIXES = ("/api/v1/", "/api/v2/")
_VERBS = {
    "message/create": create,
    "message/send": send,
    "message/check": check,
    "message/verify": verify,
    "channel/check": check_channel,
}
BOTH = frozenset(_VERBS.values())
VERBS = {prefix + name: {"GET": verb, "POST": verb} for prefix in PREFIXES for name, verb in _VERBS.items()}
VERBS["/api/v1/message/check-channel"] = {"GET": check_channel, "POST": check_channel}


def _contact(given: Fields) -> Contact:
    name = "phone" if given.get("phone") else "to" if given.get("to") else "phone"
    value = given.get(name)
    typed = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else value
    if not isinstance(typed, str) or "@" in typed or typed.startswith("+"):
        return parse_contact(typed, field=name)
    if _NATIONAL.match(typed):
        return parse_contact(typed, region=_HOME, field=name)
    return parse_contact("+" + typed, field=name)


def _default_channel(gateway: Gateway, caller: Caller, session_id: str) -> Channel:
    """The one that sent last, else WhatsApp, else the first. Raises `SessionExpired`, `NoChannels`."""
    progress = gateway.progress(caller, session_id)
    open_ones = [channel.type for channel in progress.channels]
    if progress.state != "live":
        raise errors.SessionExpired
    if not open_ones:
        raise errors.NoChannels
    wanted = (*reversed(progress.deliveries), Channel.WHATSAPP)
    return next((channel for channel in wanted if channel in open_ones), open_ones[0])


def _wrapped(**data: Any) -> dict[str, Any]:
    return {"success": True, "data": data}
