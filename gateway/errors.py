"""What a caller can be refused with: one exception class for each `sys_message` of the contract.

All of them are `GatewayError`; `text(lang)` is the sentence for people, `params` the machine's part.
"""

from collections.abc import Mapping
from typing import Any

from gateway.i18n import N_, translate


class GatewayError(Exception):
    """A refusal with the contract's `sys_message` and HTTP status."""

    status: int = 500
    sys_message: str = "ERROR_INTERNAL"
    message: str = N_("Something went wrong on our side. Please try again.")
    noted: bool = False
    """Whether the audit log has it already (gateway.audit)."""

    def __init__(self, **params: Any) -> None:
        super().__init__(self.sys_message, params)
        self.params: Mapping[str, Any] = params

    def text(self, lang: str) -> str:
        """The refusal as a sentence in `lang`."""
        return translate(lang, self.message, **self.params)


class BadRequest(GatewayError):
    """A malformed body or value; `fields` maps each offending field to the reason."""

    status = 400
    sys_message = "ERROR_BAD_REQUEST"
    message = N_("Please check this: %(field)s — %(reason)s")

    def __init__(self, field: str, reason: str, **values: object) -> None:
        super().__init__(field=field)
        self.field = field
        self.reason = reason
        self.values = values

    def why(self, lang: str) -> str:
        """The reason alone, without the field's name."""
        return translate(lang, self.reason, **self.values)

    def text(self, lang: str) -> str:
        return translate(lang, self.message, field=self.field, reason=self.why(lang))


class KeyReused(BadRequest):
    """The Idempotency-Key was used for another message (the IETF draft's status)."""

    status = 422

    def __init__(self) -> None:
        super().__init__("Idempotency-Key", N_("was used for another message"))


class AccessDenied(GatewayError):
    """The key is missing, unknown, or not enough."""

    status = 401
    sys_message = "ERROR_ACCESS_DENIED"
    message = N_("Access denied: the x-api-key header is missing, unknown, or not enough for this.")


class UnknownKey(AccessDenied):
    """A page shows the widget with a key that is none; visitors read this, too."""

    message = N_("Access denied: this site’s login is not set up, its public key is unknown here.")


class ForeignOrigin(AccessDenied):
    """A page of another origin called with this project's public key."""

    status = 403
    message = N_("Access denied: this page's origin is not one of the project's.")


class SessionExpired(GatewayError):
    """The session or token is unknown, expired or already used."""

    status = 410
    sys_message = "ERROR_SESSION_EXPIRED"
    message = N_("This session has expired. Please start again.")


class WrongCode(GatewayError):
    """The code is wrong; `count` attempts are left."""

    status = 422
    sys_message = "ERROR_MESSAGE_WRONG_CODE"
    message = N_("Wrong code. Attempts left: %(count)s.")

    def __init__(self, count: int) -> None:
        super().__init__(count=count)
        self.count = count


class ChallengeRequired(GatewayError):
    """The challenge is missing, wrong, too old or used; `provider` and `api_key` say which one to solve."""

    status = 403
    sys_message = "ERROR_CHALLENGE"
    message = N_("Please confirm that you are not a robot, then try again.")

    def __init__(self, reason: str, provider: str, api_key: str | None, challenge_url: str | None) -> None:
        super().__init__(reason=reason, provider=provider, api_key=api_key, challenge_url=challenge_url)


_PATIENCE = 120  # seconds: above, people count in minutes
_MINUTES = 7200  # seconds: above, in hours


def _come_back(lang: str, seconds: int) -> str:
    """When to come back, in the unit that people count in, rounded up."""
    if seconds < _PATIENCE:
        return translate(lang, N_("Try again in %(timeout)s s."), timeout=seconds)
    if seconds < _MINUTES:
        return translate(lang, N_("Try again in %(minutes)s min."), minutes=-(-seconds // 60))
    return translate(lang, N_("Try again in %(hours)s h."), hours=-(-seconds // 3600))


class TooSoon(GatewayError):
    """Too soon or too often; `timeout` seconds until it may be tried again."""

    status = 429
    sys_message = "ERROR_MESSAGE_ATTEMPT"
    message = N_("A code was sent a moment ago. Try again in %(timeout)s s.")

    def __init__(self, timeout: int) -> None:
        super().__init__(timeout=timeout)
        self.timeout = timeout


class TooOften(TooSoon):
    """A limit of this destination, caller or project is reached; `timeout` seconds until it is not."""

    message = N_("Too many attempts.")

    def text(self, lang: str) -> str:
        return f"{super().text(lang)} {_come_back(lang, self.timeout)}"


class DestinationBlocked(TooOften):
    """Too many wrong codes for this destination: it rests for `timeout` seconds."""

    status = 423
    sys_message = "ERROR_PHONE_BLOCKED"
    message = N_("Too many wrong codes.")


class DestinationTired(DestinationBlocked):
    """Too many codes for this destination, again and again: it rests for `timeout` seconds."""

    message = N_("Too many codes were asked for here.")


class CallerBlocked(TooOften):
    """This caller (address or browser) came too often, again and again: blocked for `timeout` seconds."""

    status = 423
    sys_message = "ERROR_BLOCKED"
    message = N_("Too many attempts from here.")


class NoChannels(GatewayError):
    """The project has no channel for this kind of contact."""

    status = 409
    sys_message = "ERROR_PROJECT_HAS_NO_CHANNELS"
    message = N_("This site has no way to send a code here yet.")


class AllUsedUp(NoChannels):
    """All of the project's channels for this contact have sent as much as they may in a day."""

    message = N_("This site sends no more codes today. Please come back tomorrow.")


class NoChannel(GatewayError):
    """The project does not have this channel."""

    status = 409
    sys_message = "ERROR_PROJECT_HAS_NO_CHANNEL"
    message = N_("This site does not send codes by this channel.")


class ChannelUsedUp(NoChannel):
    """The project has sent as much by this channel as it may in a day."""

    message = N_("No more codes go out by this channel today. Choose another one.")


class CountryNotAllowed(GatewayError):
    """The project does not send to this phone's country, or not just now, by this channel."""

    status = 409
    sys_message = "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY"
    message = N_("This site does not send codes to that number by this channel. Choose another one.")


class PhoneNotAllowed(CountryNotAllowed):
    """The same by any channel that it has."""

    message = N_("This site does not send codes to that number.")


class ChannelCannotReach(GatewayError):
    """The channel cannot reach this user, such as SMS for an email."""

    status = 409
    sys_message = "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL"
    message = N_("This channel cannot reach that contact. Choose another one.")


class NotFound(GatewayError):
    """No such path."""

    status = 404
    sys_message = "ERROR_NOT_FOUND"
    message = N_("There is nothing at this address.")


class MethodNotAllowed(GatewayError):
    """The path exists, but not for this HTTP method; `allow` lists those it has."""

    status = 405
    sys_message = "ERROR_METHOD_NOT_ALLOWED"
    message = N_("This address does not take that method.")


class Unavailable(GatewayError):
    """We cannot serve right now, such as when the database is busy or full. Nothing was done."""

    status = 503
    sys_message = "ERROR_UNAVAILABLE"
    message = N_("We can't do that right now. Please try again in a moment.")


class ChallengeUnavailable(Unavailable):
    """The challenge's provider does not answer, so nobody can be told from a robot. Nothing was done."""

    message = N_("We can't check just now that you are not a robot. Please try again in a moment.")
