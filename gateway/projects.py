"""Projects: each a site with a key pair, its own channels and its own rules for codes."""

import re
import secrets
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from unicodedata import category

import msgspec

from gateway import codes
from gateway.bill.countries import ALL, read_countries
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.errors import BadRequest
from gateway.i18n import DEFAULT_LANGUAGE, LANGUAGES
from gateway.origins import AN_ORIGIN, read_origin

ALL_CHANNELS = (Channel.TELEGRAM, Channel.WHATSAPP, Channel.VIBER, Channel.SMS, Channel.EMAIL)
LONGEST_SESSION = 3600  # seconds; what was spent is kept until no token of such a session is good any more


Flow = Literal["sending-first", "channel-first"]
"""The widget asks for the contact and sends by the best channel at once, or asks for the channel first."""


Ceiling = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator can choose for a project; stored as JSON, so that a new choice needs no migration."""

    name: str
    channels: tuple[Channel, ...] = ALL_CHANNELS
    default_channel: Channel | None = None
    code_length: Annotated[int, msgspec.Meta(ge=codes.SHORTEST, le=codes.LONGEST)] = 6
    legacy_code_length: Annotated[int, msgspec.Meta(ge=codes.SHORTEST, le=codes.LONGEST)] = 4
    digits: bool = True
    letters: bool = False
    session_seconds: Annotated[int, msgspec.Meta(ge=5, le=LONGEST_SESSION)] = 180
    origins: tuple[str, ...] = ()
    flow: Flow = "sending-first"
    languages: tuple[str, ...] = ()  # of its pages, errors and messages, the first by default; none: all of ours
    one_tap: bool = True  # where a Telegram user is known, tapping a number replaces typing the code
    bot_id: int = 0
    bot_username: str = ""
    bot_token: str = ""  # sealed (`ProjectBook.bot_token` opens it); none: the server's bot, TELEGRAM_BOT_TOKEN
    countries: tuple[str, ...] = ()  # where channels that cost money send; none: never chosen, which is all
    countries_telegram: tuple[str, ...] = ()  # each of these instead of `countries`, where it names some
    countries_whatsapp: tuple[str, ...] = ()
    countries_viber: tuple[str, ...] = ()
    countries_sms: tuple[str, ...] = ()
    ceiling_telegram: Ceiling = None  # messages a day; none: CEILING_MESSAGES
    ceiling_whatsapp: Ceiling = None
    ceiling_viber: Ceiling = None
    ceiling_sms: Ceiling = None
    test_codes: tuple[str, ...] = ()  # +79520000000=000000: contacts that are sent nothing, and their one code
    discreet: bool = False  # nobody but the site's server can tell a phone that is known from one that is not
    challenge: Literal["off", "suspicious", "always"] = "suspicious"
    challenge_provider: Literal["altcha", "turnstile", "smartcaptcha", "recaptcha"] = "altcha"
    challenge_site_key: Annotated[str, msgspec.Meta(max_length=200)] = ""
    challenge_secret: str = ""  # sealed (`ProjectBook.challenge_secret` opens it)
    challenge_when_down: Literal["closed", "open"] = "closed"

    def countries_of(self, channel: Channel) -> tuple[str, ...]:
        """Where a channel sends, if it costs money."""
        own: tuple[str, ...] = getattr(self, f"countries_{channel}", ())
        return own or self.countries

    def ceiling_of(self, channel: Channel) -> int | None:
        """The channel's own ceiling."""
        ceiling: int | None = getattr(self, f"ceiling_{channel}", None)
        return ceiling

    def test_code(self, contact: str) -> str:
        """The code of a contact that is for tests alone; empty for everybody else's."""
        for one in self.test_codes:
            to, _, code = one.rpartition("=")
            if to == contact:
                return code
        return ""

    @property
    def alphabet(self) -> str:
        """The characters of this project's codes."""
        return codes.alphabet(digits=self.digits, letters=self.letters)

    def language(self, wished: str | None) -> str:
        """The language that a visitor gets who wishes for this one."""
        if wished and (not self.languages or wished in self.languages):
            return wished
        return self.languages[0] if self.languages else DEFAULT_LANGUAGE


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


_TOKEN = re.compile(r"\d{1,16}:[A-Za-z0-9_-]{20,}", re.ASCII)
_SANDBOX_TOKEN = re.compile(r"[1-9]\d{0,15}:sandbox", re.ASCII)


def bot_id_of(token: str, *, sandbox: bool) -> int:
    """The bot's id, which a token begins with. Raises `ValueError` for what @BotFather never wrote.

    The sandbox's tokens, such as `2:sandbox`, count where `sandbox` allows them.
    """
    if not _TOKEN.fullmatch(token) and not (sandbox and _SANDBOX_TOKEN.fullmatch(token)):
        raise ValueError("this is no bot token; @BotFather writes them as 123456:ABC…")
    return int(token.partition(":")[0])


_SPOKEN = {"yes": True, "on": True, "no": False, "off": False}
_SET_ELSEWHERE = ("bot_id", "bot_username", "bot_token", "challenge_secret")  # by commands of their own
_COUNTRIES = ("countries", "countries_telegram", "countries_whatsapp", "countries_viber", "countries_sms")
_MAY_BE_EMPTY = ("challenge_site_key",)
_NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")  # controls, line breaks among them, and what no UTF-8 can hold


def change_settings(settings: ProjectSettings, changes: Iterable[str]) -> ProjectSettings:
    """`settings` with changes such as `code_length=4` or `channels=sms,email`. Raises `ValueError`, saying why."""
    fields = msgspec.to_builtins(settings)
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in fields or name in _SET_ELSEWHERE:
            known = ", ".join(field for field in fields if field not in _SET_ELSEWHERE)
            raise ValueError(f"{change!r}: write NAME=VALUE; the names are {known}")
        if isinstance(fields[name], (list, tuple)):
            fields[name] = [part.strip().rstrip("/") for part in value.split(",") if part.strip()]
        elif isinstance(fields[name], bool):
            fields[name] = _SPOKEN.get(value.lower(), value)
        else:
            fields[name] = value or (None if name not in _MAY_BE_EMPTY else "")
    try:
        changed = msgspec.convert(fields, ProjectSettings, strict=False)
    except msgspec.ValidationError as problem:
        name = re.split(r"[\[`]", str(problem).partition(" - at `$.")[2])[0]
        raise ValueError(f"{name}: write {_wanted(name)}") from None
    for name in _COUNTRIES:
        changed = msgspec.structs.replace(changed, **{name: _countries(name, getattr(changed, name))})
    if settings.countries and not changed.countries:
        raise ValueError(f"countries: name some, or {ALL}")
    if not changed.name.strip() or any(category(one) in _NOT_IN_A_LINE for one in changed.name):
        raise ValueError("name: write one line of text")
    if changed.default_channel and changed.default_channel not in changed.channels:
        raise ValueError(f"default_channel: {changed.default_channel} is not one of the project's channels")
    if not changed.digits and not changed.letters:
        raise ValueError("digits and letters can't both be off: a code is made of something")
    if unknown := [lang for lang in changed.languages if lang not in LANGUAGES]:
        raise ValueError(f"{unknown[0]!r} is no language of ours; there are {', '.join(LANGUAGES)}")
    if missing := missing_of_challenge(changed):
        raise ValueError(missing)
    return msgspec.structs.replace(
        changed,
        origins=tuple(map(_origin, changed.origins)),
        test_codes=tuple(_test_code(one, changed) for one in changed.test_codes),
    )


def _wanted(name: str) -> str:
    """What a setting can be, for an operator."""
    from msgspec import inspect  # which only a mistake needs

    kinds = {field.name: field.type for field in inspect.type_info(ProjectSettings).fields}  # type: ignore[attr-defined]
    kind, tail = kinds[name], ""
    if isinstance(kind, inspect.UnionType):
        kind, tail = kind.types[0], ", or nothing"
    elif isinstance(kind, inspect.VarTupleType):
        kind, tail = kind.item_type, ", or some, separated by commas"
    match kind:
        case inspect.BoolType():
            return "yes or no"
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}{tail}"
        case inspect.EnumType(cls=choices):
            return f"one of {', '.join(choices)}{tail}"
        case inspect.LiteralType(values=choices):
            return f"one of {', '.join(map(str, choices))}"
        case inspect.StrType(max_length=int(most)):
            return f"a text of {most} characters at most"
    return "a text"


def _test_code(text: str, project: ProjectSettings) -> str:
    to, _, code = text.rpartition("=")
    try:
        contact, [read] = parse_contact(to), codes.read_code(code)
    except BadRequest as refusal:
        raise ValueError(f"test_codes: {text!r}: {refusal.field} {refusal.why('en')}") from None
    if len(read) != project.code_length or not set(read) <= set(project.alphabet):
        raise ValueError(f"test_codes: {text!r}: a code here is {project.code_length} of {project.alphabet}")
    return f"{contact.value}={read}"


def _origin(text: str) -> str:
    try:
        return read_origin(text)
    except ValueError:
        raise ValueError(f"origins: {text!r} is no {AN_ORIGIN}") from None


def _countries(field: str, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return read_countries(names)
    except ValueError as problem:
        raise ValueError(f"{field}: {problem}") from None


def missing_of_challenge(settings: ProjectSettings) -> str:
    """What the chosen challenge still needs, as a sentence; empty where it is complete."""
    provider = settings.challenge_provider
    if provider == "altcha":
        return ""
    if not settings.challenge_secret:
        return f"challenge_provider: {provider} needs a secret first: kodgate project set-challenge-secret ID"
    if not settings.challenge_site_key:
        return f"challenge_provider: {provider} needs challenge_site_key, the key that stands in pages"
    return ""


def changed_names(old: str, new: ProjectSettings) -> str:
    """The names of the settings that differ from the stored ones; no value, as some are secrets."""
    before, after = msgspec.json.decode(old), msgspec.to_builtins(new)
    return ", ".join(name for name in after if _plain(after[name]) != _plain(before.get(name)))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
