"""Every setting of Kodgate, in one place: environment variables, or a `.env` file beside the Procfile.

`load_settings` raises `SettingsError` with one clear line for whatever is wrong.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.bill.countries import ALL, read_countries
from gateway.channels import Channel
from gateway.limits.rate import Rate, read_rate
from gateway.origins import AN_ORIGIN, read_address, read_origin
from gateway.providers import WeightedUrl, WrongProviderUrl, check_provider_url, split_urls
from gateway.store import A_DATABASE, POSTGRES, SQLITE

ROOT = Path(__file__).resolve().parent.parent
ENV_FILE = ".env"  # in the folder that one starts from

DEVELOPMENT_SECRET = "development-only-secret-never-use-it-in-production"  # noqa: S105
DEVELOPMENT_PUBLIC_KEY = "pk_development"
DEVELOPMENT_SECRET_KEY = "sk_development"  # noqa: S105
SANDBOX_TOKEN = "1:sandbox"  # noqa: S105
SANDBOX_BOT = "kodgate_sandbox_bot"
TELEGRAM_API = "https://api.telegram.org"
SHORTEST_SECRET = 32
SHORTEST_METRICS_TOKEN = 16  # characters: whoever reads how many log in learns no more than that
SHORTEST_PROJECT_SECRET = 16  # characters: the store has its plain hash, from which a shorter one could be guessed
_BOT_TOKEN = re.compile(r"\d{1,16}:[A-Za-z0-9_-]+", re.ASCII)
ADDRESSES = (
    *("telegram_api_url", "kodmobi_url"),
    *("turnstile_url", "turnstile_script_url", "smartcaptcha_url", "smartcaptcha_script_url"),
    *("recaptcha_url", "recaptcha_script_url"),
)
AN_ADDRESS = "an http(s) address, such as https://login.example.com"
_NOT_IN_AN_ADDRESS = re.compile(r"[\x00-\x20\x7f]")  # urlsplit takes them or leaves them out, requests refuse them
HOSTED_THREADS = 32  # a worker's, where every verb waits some 100 ms for the upstream: 300 verbs a second
PROVIDER_SETTINGS = {
    Channel.TELEGRAM: "telegram_url",
    Channel.WHATSAPP: "whatsapp_url",
    Channel.VIBER: "viber_url",
    Channel.SMS: "sms_url",
    Channel.EMAIL: "email_url",
}

Network = IPv4Network | IPv6Network
Limited = Annotated[Rate, NoDecode, BeforeValidator(read_rate)]


class SettingsError(Exception):
    """A setting is wrong or missing; the text names it and says what to do."""


class Settings(BaseSettings):
    """The settings; each name in capitals is the environment variable."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, extra="ignore", frozen=True, env_ignore_empty=True)

    kodgate_env: Literal["development", "production"] = Field(
        "development", description="production refuses development secrets, the sandbox and LIMITS=off"
    )
    host: str = Field("127.0.0.1", description="address that web, bot and sandbox listen on; :: is all, IPv4 too")
    port: int = Field(8000, ge=1, le=65535, description="web's port")
    live_port: int = Field(8001, ge=1, le=65535, description="the bot process's port: live events, webhooks")
    worker_port: int = Field(8003, ge=1, le=65535, description="the worker's port: /healthz only")
    sandbox_port: int = Field(8002, ge=1, le=65535, description="development doubles")
    public_url: str = Field("", description="where visitors reach web; needed in production")
    live_url: str = Field("", description="where browsers reach the bot process; in production as PUBLIC_URL")
    database_url: str = Field(
        "sqlite:///var/kodgate.sqlite3",
        description="the store: sqlite:///path or postgresql://user:password@host/name",
    )
    database_listen_url: str = Field(
        "", description="PostgreSQL itself, where DATABASE_URL is a pooler's, on which LISTEN does not work"
    )
    secret_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="comma-separated; the first signs and seals, all verify and open"
    )
    project_name: str = Field("Kodgate", description="the first project's when it is created, as visitors read it")
    project_public_key: str = Field("", description="the first project's public key")
    project_secret_key: str = Field("", description="the first project's secret key")
    project_countries: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="where the first project's paid channels send: RU,KZ,+44, or all; named before it is created",
    )
    project_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="until it has its own: the sites that use it in browsers, such as https://shop.example.com"
    )
    telegram_bot_token: str = Field("", description="from @BotFather; none: the sandbox, in development")
    telegram_api_url: str = Field(TELEGRAM_API, description="the Bot API server")
    telegram_mode: Literal["polling", "webhook"] = Field(
        "polling", description="how updates reach the bot: asked for, or sent to LIVE_URL/telegram/ (https)"
    )
    telegram_url: str = Field("", description="a provider besides the bot: telegram-gateway://…")
    sms_url: str = Field("", description="providers of SMS, tried in order: webhook+https://… apprise+twilio://…")
    whatsapp_url: str = Field("", description="providers of WhatsApp")
    viber_url: str = Field("", description="providers of Viber")
    email_url: str = Field("", description="providers of email: smtp://…; 3*URL 1*URL share in that proportion")
    kodmobi_url: str = Field("", description="run on a kod.mobi account instead: https://api.kod.mobi")
    kodmobi_public_key: str = Field("", description="that account's public key")
    kodmobi_secret_key: str = Field("", description="that account's secret key")
    kodmobi_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="comma-separated; pages that may call with the public key, such as https://*.example.com"
    )
    messages_folder: Path | None = Field(
        None, description="your own texts before ours: <channel>/<lang>.txt, a project's <id>/<channel>/<lang>.txt"
    )
    country_header: str = Field(
        "", description="a header of your proxy's that tells the visitor's country, such as CF-IPCountry"
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="comma-separated; whose ADDRESS_HEADER is believed, such as 127.0.0.1,10.0.0.0/8"
    )
    address_header: str = Field(
        "X-Forwarded-For", description="where they write the visitor's address, the nearest hop last"
    )
    limits: Literal["on", "off"] = Field(
        "on", description="off drops cool-downs, pauses and limits, for tests only"
    )
    metrics_token: str = Field("", description="opens /metrics of each process to Prometheus; none: there is none")

    # Each of these is a default with its reason; none needs setting.
    project_keys_overlap_seconds: int = Field(
        3600,
        ge=0,
        description="of those that PROJECT_…_KEY replace, while sites change over; 0 where one has leaked",
    )
    code_attempts: int = Field(5, ge=1, le=20, description="wrong codes a session takes: 5 in 10**6 guesses")
    cooldown_seconds: int = Field(60, ge=0, le=60, description="between two sends on a channel (contract)")
    pause_seconds: int = Field(30, ge=0, description="first rest after a session's last wrong code; doubles")
    pause_longest_seconds: int = Field(3600, ge=0, description="the rests stop growing here")
    limit_guesses: Limited = Field(
        Rate(40, 86_400), description="wrong codes a destination: at most 80 in any day, 8 in 10**5 guessed"
    )
    limit_guesses_known: Limited = Field(
        Rate(10, 86_400), description="besides, from addresses known to it: strangers can't shut its owner out"
    )
    limit_sends_destination: Limited = Field(
        Rate(8, 7200), description="a visitor needs 1 to 3; then one in 15 minutes, so that nobody is flooded"
    )
    limit_sends_address_soft: Limited = Field(
        Rate(20, 3600), description="of LIMIT_SENDS_ADDRESS, those without a challenge: a family, an office"
    )
    limit_sends_address: Limited = Field(
        Rate(1000, 3600), description="a mobile carrier's NAT at a busy hour; each of these solved a challenge"
    )
    limit_sends_browser: Limited = Field(Rate(10, 3600), description="one visitor, with every channel tried twice")
    limit_sends_prefix: Limited = Field(
        Rate(5000, 3600), description="a country's, with a challenge from half: what a pump costs in an hour"
    )
    limit_sends_project: Limited = Field(
        Rate(10_000, 3600), description="with a challenge from half; a site with more logins raises it"
    )
    limit_checks_address: Limited = Field(
        Rate(300, 3600), description="codes that are not right; one in ten is mistyped, behind a NAT as well"
    )
    limit_checks_browser: Limited = Field(Rate(20, 3600), description="four sessions of wrong codes")
    limit_activations_chat: Limited = Field(
        Rate(10, 3600), description="contacts shared in a chat; a person needs one, each is written durably"
    )
    limit_activations_destination: Limited = Field(
        Rate(10, 3600), description="contacts with one number, from however many chats"
    )
    limit_activations_project: Limited = Field(Rate(10_000, 3600), description="as many as LIMIT_SENDS_PROJECT")
    ceiling_messages: int = Field(
        5000,
        ge=0,
        description="a day, project and paid channel: some 250 euros of SMS; ceiling_sms=… of a project",
    )
    guard_codes: int = Field(
        50, ge=1, description="sent to one beginning of phones; fewer never stop it: a small site has bad days"
    )
    guard_share: float = Field(
        0.1, ge=0, le=1, description="entered codes below this stop it; honest visitors enter six of ten or more"
    )
    guard_window_seconds: int = Field(7200, ge=60, description="looked back at; as LIMIT_SENDS_DESTINATION")
    guard_settle_seconds: int = Field(60, ge=0, description="a younger code may still be entered: not counted")
    guard_sample: int = Field(10_000, ge=1, description="newest sessions looked at: 30 ms, however busy the sites")
    guard_look_seconds: float = Field(5, gt=0, description="the bot process looks this often")
    guard_stop_seconds: int = Field(
        3600, ge=60, description="first stop; then it is tried again, and twice as long each time within a day"
    )
    guard_stop_longest_seconds: int = Field(86_400, ge=60, description="the stops stop growing here")
    guard_lift_seconds: int = Field(
        86_400, ge=60, description="an operator's lift holds this long, then the guard looks at what came since"
    )
    block_seconds: int = Field(60, ge=1, description="first block of who is over a limit; doubles each time")
    block_longest_seconds: int = Field(
        3600, ge=1, description="the blocks stop growing here; a day's calm ends them"
    )
    verify_token_seconds: int = Field(300, ge=1, description="a verify token's life (contract: 5 minutes)")
    challenge_seconds: int = Field(
        600, ge=30, le=3600, description="a challenge's life: a form left open for longer fetches another"
    )
    challenge_tries: int = Field(
        600, ge=2, le=1_000_000, description="of a proof of work, at most; 0.1 s on a desktop, some 0.5 on a phone"
    )
    challenge_cost: int = Field(
        1000, ge=1, le=100_000, description="PBKDF2 rounds a try; making a challenge costs one try of our own"
    )
    challenge_timeout_seconds: float = Field(3, gt=0, description="a CAPTCHA provider that says nothing is down")
    challenge_failures: int = Field(5, ge=1, description="in a row; then the provider rests, answers come at once")
    challenge_rest_seconds: float = Field(10, gt=0, description="of that rest; then one request tries again")
    suspicion_sessions: int = Field(
        100, ge=1, description="with fewer in the window, a bad day of a small site would look like abuse"
    )
    suspicion_share: float = Field(
        0.1, ge=0, le=1, description="completed logins below this look like abuse; a real site has half or more"
    )
    suspicion_window_seconds: int = Field(600, ge=1, description="looked back at; abuse that ended is forgotten")
    suspicion_settle_seconds: int = Field(
        60, ge=0, description="a session younger than this may still be completed: it does not count"
    )
    suspicion_sample: int = Field(1000, ge=1, description="newest sessions looked at: 1 ms, however busy the site")
    suspicion_look_seconds: float = Field(5, ge=0, description="a process looks at most this often a project")
    turnstile_url: str = Field("", description="Cloudflare Turnstile's siteverify, where it is not the usual one")
    turnstile_script_url: str = Field("", description="and its script")
    smartcaptcha_url: str = Field("", description="Yandex SmartCaptcha's validate")
    smartcaptcha_script_url: str = Field("", description="and its script")
    recaptcha_url: str = Field("", description="Google reCAPTCHA's siteverify, such as recaptcha.net's")
    recaptcha_script_url: str = Field("", description="and its script")
    audit_days: int = Field(
        365, ge=1, description="the audit log's entries are purged after this; what happens is often noticed late"
    )
    audit_rows: int = Field(
        1_000_000, ge=1000, description="entries that logins leave, at most: 150 MB; operators' are besides"
    )
    audit_flush_seconds: float = Field(
        2, gt=0, description="refusals and begun sessions are held for this long; a process that ends loses them"
    )
    audit_detailed: int = Field(
        60, ge=0, description="refusals a minute and process that keep their session; more are only counted"
    )
    keep_hours: int = Field(24, ge=1, description="sealed destinations and messages are purged after this")
    web_workers: int = Field(1, ge=1, le=64, description="web processes; each takes about one core when busy")
    web_threads: int = Field(
        1, ge=1, le=64, description="more only where a CAPTCHA's provider is asked: they fight for the GIL"
    )
    database_connections: int = Field(
        8, ge=2, le=64, description="a process's to PostgreSQL at most: one a web thread, and a few beside"
    )
    body_seconds: float = Field(10, gt=0, description="for a request's body to arrive; 16 KiB take 3 s by GPRS")
    body_limit: int = Field(16_384, ge=256, description="bytes of a request body; the largest real one is 1 KiB")
    provider_timeout_seconds: float = Field(10, gt=0, description="a provider that says nothing has failed")
    provider_concurrency: int = Field(
        128, ge=1, description="calls to one provider at once: 500 codes a second that take 0.2 s each need 100"
    )
    callback_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="comma-separated; callbacks reach these besides public addresses, such as 10.1.0.0/16"
    )
    callback_timeout_seconds: float = Field(10, gt=0, description="a receiver that says nothing is asked again")
    callback_retry_seconds: int = Field(3600, ge=0, description="then a callback is given up (contract: retried)")
    kodmobi_connect_seconds: float = Field(3, gt=0, description="a connection that takes longer is lost")
    kodmobi_timeout_seconds: float = Field(10, gt=0, description="an upstream that says nothing has failed")
    kodmobi_failures: int = Field(5, ge=1, description="in a row; then the upstream rests and errors come at once")
    kodmobi_rest_seconds: float = Field(10, gt=0, description="of that rest; then one request tries again")
    lease_seconds: float = Field(15, gt=0, description="then another process takes a message over")
    poll_timeout_seconds: int = Field(25, ge=0, le=50, description="Bot API long poll")
    poll_lease_seconds: float = Field(
        15, ge=1, description="of several bot processes one polls; it died: another takes over after this"
    )
    update_seconds: float = Field(15, gt=0, description="an update that takes longer is handled again")
    webhook_connections: int = Field(
        40, ge=1, le=100, description="updates that Telegram sends at once, a bot (Bot API: max_connections)"
    )
    live_heartbeat_seconds: float = Field(15, gt=0, description="keeps proxies from closing a live stream")
    live_streams: int = Field(20_000, ge=1, description="open at once; 14 KiB each")
    live_streams_session: int = Field(
        20, ge=1, description="of those a session's: some tabs, and some not yet seen to be gone"
    )
    shutdown_seconds: float = Field(4, gt=0, description="SIGTERM drains within 5 s")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="a line for every refusal at INFO; no code, key or whole phone at any level"
    )

    @field_validator(
        *(
            "secret_keys",
            "callback_networks",
            "kodmobi_origins",
            "trusted_proxies",
            "project_countries",
            "project_origins",
        ),
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        _fill(self)
        _check(self)
        return self

    @property
    def production(self) -> bool:
        return self.kodgate_env == "production"

    @property
    def hosted(self) -> bool:
        """Whether a kod.mobi account does the work instead of our own store and bot."""
        return bool(self.kodmobi_url)

    @property
    def sandbox(self) -> bool:
        """Whether the development doubles stand in for Telegram and the providers."""
        return self.telegram_bot_token == SANDBOX_TOKEN

    @property
    def sandbox_url(self) -> str:
        return f"http://{self.local_host}:{self.sandbox_port}"

    @property
    def telegram_link_url(self) -> str:
        """What stands in front of a bot's name in a deep link."""
        return self.sandbox_url if self.sandbox else "https://t.me"

    @property
    def provider_urls(self) -> dict[Channel, tuple[WeightedUrl, ...]]:
        """Each channel's providers, in the order they are tried; Telegram's bots are besides."""
        urls = {channel: split_urls(getattr(self, name)) for channel, name in PROVIDER_SETTINGS.items()}
        return {channel: some for channel, some in urls.items() if some}

    @property
    def local_host(self) -> str:
        """Where this machine reaches what listens on HOST, as URLs have it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"[{host}]" if ":" in host else host


def load_settings() -> Settings:
    """Read and check the environment. Raises `SettingsError`."""
    try:
        return Settings()
    except OSError as problem:
        raise SettingsError(f"{ENV_FILE} can't be read: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise SettingsError(f"{ENV_FILE} can't be read: {problem}") from None
    except ValidationError as problem:
        error = problem.errors()[0]
        name = str(error["loc"][0]).upper() if error["loc"] else ""  # what follows is pydantic's own
        text = error["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {text}" if name else text) from None


def _fill(settings: Settings) -> None:
    """Development needs no setting; production takes what it can from PUBLIC_URL."""

    def default(name: str, value: object) -> None:
        if not getattr(settings, name):
            object.__setattr__(settings, name, value)

    object.__setattr__(settings, "host", _as_granian_takes_it(settings.host))
    for name in ("public_url", "live_url"):
        object.__setattr__(settings, name, _as_browsers_write(name, getattr(settings, name)))
    for name in ("project_origins", "kodmobi_origins"):
        object.__setattr__(settings, name, _as_origins(name, getattr(settings, name)))
    if settings.hosted:
        _fill_hosted(settings)
    if settings.production:
        default("live_url", settings.public_url)
    else:
        default("public_url", f"http://localhost:{settings.port}")
        its_port = urlsplit(settings.public_url).port
        default("live_url", f"{settings.public_url.removesuffix(f':{its_port}')}:{settings.live_port}")
        default("secret_keys", (DEVELOPMENT_SECRET,))
        default("project_public_key", DEVELOPMENT_PUBLIC_KEY)
        default("project_secret_key", DEVELOPMENT_SECRET_KEY)
        default("project_countries", (ALL,))
        if not settings.telegram_bot_token and not settings.hosted:
            default("telegram_bot_token", SANDBOX_TOKEN)
            object.__setattr__(settings, "telegram_api_url", settings.sandbox_url)
            inbox = f"webhook+{settings.sandbox_url}/inbox"
            for channel, name in PROVIDER_SETTINGS.items():
                if channel is not Channel.TELEGRAM:
                    default(name, inbox)
    for name in ADDRESSES:
        object.__setattr__(settings, name, getattr(settings, name).rstrip("/"))


def _as_granian_takes_it(host: str) -> str:
    """No name, and no IPv6 zone."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if "%" not in host:
            return str(ip_address(host))
    except ValueError:
        pass
    raise ValueError("HOST must be an IP address, such as 127.0.0.1 or 0.0.0.0")


def _as_browsers_write(name: str, url: str) -> str:
    """Pages are told by their origin, and policies name it."""
    if not url:
        return ""
    try:
        origin, path = read_address(url)
    except ValueError:
        raise ValueError(f"{name.upper()} must be {AN_ADDRESS}") from None
    if name == "public_url" and path:
        raise ValueError(
            "PUBLIC_URL can have no path: Kodgate needs a host name of its own, https://login.example.com"
        )
    return f"{origin}{path}"


def _as_origins(name: str, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(map(read_origin, given))
    except ValueError:
        raise ValueError(f"{name.upper()}: each must be an {AN_ORIGIN}") from None


def _fill_hosted(settings: Settings) -> None:
    """The account's keys are the site's, and verbs wait for the network: threads make up for that."""
    object.__setattr__(settings, "project_public_key", settings.kodmobi_public_key)
    object.__setattr__(settings, "project_secret_key", settings.kodmobi_secret_key)
    if "web_threads" not in settings.model_fields_set:
        object.__setattr__(settings, "web_threads", HOSTED_THREADS)


def _check(settings: Settings) -> None:
    try:
        object.__setattr__(settings, "project_countries", read_countries(settings.project_countries))
    except ValueError as problem:
        raise ValueError(f"PROJECT_COUNTRIES: {problem}") from None
    for name in ADDRESSES:
        url = getattr(settings, name)
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or _NOT_IN_AN_ADDRESS.search(url)):
            raise ValueError(f"{name.upper()} must be {AN_ADDRESS}")
    if not settings.database_url.startswith((SQLITE, *POSTGRES)):
        raise ValueError(f"DATABASE_URL must be {A_DATABASE}")
    if settings.database_listen_url and not settings.database_listen_url.startswith(POSTGRES):
        raise ValueError("DATABASE_LISTEN_URL must be postgresql://user:password@host/name")
    for channel, name in PROVIDER_SETTINGS.items():
        try:
            for one in split_urls(getattr(settings, name)):
                check_provider_url(one.url, channel)
        except WrongProviderUrl as problem:
            raise ValueError(f"{name.upper()}: {problem}") from None
    if settings.telegram_bot_token and not _BOT_TOKEN.fullmatch(settings.telegram_bot_token):
        raise ValueError("TELEGRAM_BOT_TOKEN is no bot token; @BotFather writes them as 123456:ABC…")
    if bool(settings.project_public_key) != bool(settings.project_secret_key):
        raise ValueError("PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY go together: set both or neither")
    if settings.hosted:
        _check_hosted(settings)
    soft, hard = settings.limit_sends_address_soft, settings.limit_sends_address
    if soft.count > hard.count or soft.seconds != hard.seconds:
        raise ValueError("LIMIT_SENDS_ADDRESS_SOFT must be part of LIMIT_SENDS_ADDRESS, in the same seconds")
    if settings.lease_seconds <= settings.provider_timeout_seconds:
        raise ValueError("LEASE_SECONDS must be longer than PROVIDER_TIMEOUT_SECONDS, or messages double")
    if 0 < len(settings.metrics_token) < SHORTEST_METRICS_TOKEN:
        raise ValueError(f"METRICS_TOKEN needs at least {SHORTEST_METRICS_TOKEN} characters")
    _check_webhook(settings)
    if settings.production:
        _check_production(settings)


def _check_webhook(settings: Settings) -> None:
    secure = urlsplit(settings.live_url).scheme == "https"
    if settings.telegram_mode == "webhook" and settings.telegram_api_url == TELEGRAM_API and not secure:
        raise ValueError("TELEGRAM_MODE=webhook needs LIVE_URL to be https: Telegram sends updates there only")


def _check_hosted(settings: Settings) -> None:
    if not settings.kodmobi_public_key or not settings.kodmobi_secret_key:
        raise ValueError("KODMOBI_URL needs KODMOBI_PUBLIC_KEY and KODMOBI_SECRET_KEY, the account's two keys")
    if settings.telegram_bot_token:
        raise ValueError("KODMOBI_URL: the account's own bot does the activation; unset TELEGRAM_BOT_TOKEN")


def _check_production(settings: Settings) -> None:
    if not settings.public_url:
        raise ValueError("PUBLIC_URL is needed in production: the https address that visitors use")
    if not settings.secret_keys:
        raise ValueError(
            "SECRET_KEYS is needed in production: make one with python3 -c 'import secrets; "
            "print(secrets.token_urlsafe(48))'"
        )
    if DEVELOPMENT_SECRET in settings.secret_keys:
        raise ValueError("SECRET_KEYS holds the development secret, which everybody knows")
    if any(len(key) < SHORTEST_SECRET for key in settings.secret_keys):
        raise ValueError(f"SECRET_KEYS: each key needs at least {SHORTEST_SECRET} characters")
    if {settings.project_public_key, settings.project_secret_key} & {
        DEVELOPMENT_PUBLIC_KEY,
        DEVELOPMENT_SECRET_KEY,
    }:
        raise ValueError("PROJECT_PUBLIC_KEY or PROJECT_SECRET_KEY is a development key, which everybody knows")
    if settings.project_secret_key and not settings.hosted:
        _check_project_keys(settings.project_public_key, settings.project_secret_key)
    if settings.sandbox:
        raise ValueError("TELEGRAM_BOT_TOKEN is the sandbox's; production needs a token from @BotFather")
    for channel, urls in settings.provider_urls.items():
        if any(one.url.startswith("log:") for one in urls):
            raise ValueError(
                f"{PROVIDER_SETTINGS[channel].upper()}: log:// writes codes to the log: not for production"
            )
    if settings.limits == "off":
        raise ValueError("LIMITS=off is not for production")


def _check_project_keys(public: str, secret: str) -> None:
    """The public one stands in web pages: whoever mixes the two up gives the other away."""
    if public.startswith("sk_"):
        raise ValueError("PROJECT_PUBLIC_KEY begins as secret keys do: is it the other one?")
    if secret.startswith("pk_"):
        raise ValueError("PROJECT_SECRET_KEY begins as public keys do: is it the other one?")
    if public == secret:
        raise ValueError("PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY must differ: one stands in web pages")
    if len(secret) < SHORTEST_PROJECT_SECRET:
        raise ValueError(f"PROJECT_SECRET_KEY needs at least {SHORTEST_PROJECT_SECRET} characters")
