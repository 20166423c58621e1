"""Wiring: from settings to a gateway that is ready to serve."""

import logging
import socket
import sys
from collections.abc import Iterable

import msgspec

from gateway.clock import Clock, system_clock
from gateway.files import open_as_many_as_allowed
from gateway.keyring import Unsealable, hash_api_key
from gateway.local import LocalGateway
from gateway.log import set_up_logging
from gateway.metrics import Metrics, open_metrics
from gateway.projects import KeyPair, Project, ProjectSettings
from gateway.settings import (
    DEVELOPMENT_PUBLIC_KEY,
    DEVELOPMENT_SECRET_KEY,
    SANDBOX_BOT,
    SANDBOX_TOKEN,
    Settings,
    SettingsError,
    load_settings,
)
from gateway.store import Busy, Store, StoreError, open_store
from gateway.verbs import Gateway

log = logging.getLogger(__name__)

_OF_DEVELOPMENT = {hash_api_key(DEVELOPMENT_PUBLIC_KEY), hash_api_key(DEVELOPMENT_SECRET_KEY)}


def build_gateway(
    settings: Settings, clock: Clock = system_clock, *, changes: bool = True, metrics: Metrics | None = None
) -> LocalGateway:
    """Open and migrate the store, and make sure of the first project and its keys. Raises `StoreError`.

    Without `changes`, the store must be up to date, and stays as it is.
    """
    store = open_store(settings.database_url, settings.database_listen_url, settings.database_connections)
    if changes:
        store.migrate()
    elif behind := store.behind():
        raise StoreError(
            f"{behind} migrations are to come: the next start of web or bot runs them, or kodgate migrate"
        )
    try:
        gateway = LocalGateway(store, settings, clock, metrics)
    except Unsealable:
        store.close()
        raise StoreError(
            "SECRET_KEYS holds none of the keys that this database was sealed with: add the old key behind the new"
        ) from None
    if changes:
        gateway.projects.renew_seals()
        _ensure_first_project(gateway, settings)
    return gateway


def has_its_keys(gateway: LocalGateway, settings: Settings) -> bool:
    """Whether PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY, where they are set, are the first project's by now."""
    current = _current_keys(gateway.store)
    wanted = {hash_api_key(settings.project_public_key), hash_api_key(settings.project_secret_key)}
    return not settings.project_public_key or not current or current == wanted


def _current_keys(store: Store) -> set[bytes]:
    """The hashes of the first project's keys, without those that were replaced."""
    first = min((project.id for project in store.projects()), default=None)
    return {key.hash for key in store.api_keys() if key.project_id == first and key.expires_at is None}


def start_process(name: str, *, counts: bool = True) -> tuple[Settings, Gateway]:
    """What web and bot begin with: on our own store, or on a kod.mobi account where KODMOBI_URL is set.

    `counts`: it is this process whose metrics will be read.
    Whatever is wrong is one line on standard error and exit code 2.
    """
    try:
        settings = load_settings()
        set_up_logging(name, settings.log_level)
        open_as_many_as_allowed()
        metrics = open_metrics(settings.metrics_token, name) if counts else None
        if settings.hosted:
            from gateway.hosted import HostedGateway  # httpx and all, which our own store never needs

            return settings, HostedGateway(settings, metrics=metrics)
        return settings, build_gateway(settings, metrics=metrics)
    except (SettingsError, StoreError, Busy) as problem:
        sys.stderr.write(f"kodgate {name}: {problem}\n")
        raise SystemExit(2) from None


def need_port(name: str, host: str, port: int) -> None:
    """Exit with one line and code 2 where another program listens; granian would quietly share the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            sys.stderr.write(f"kodgate: {name} can't listen on {host}:{port}: {problem.strerror}\n")
            raise SystemExit(2) from None


def _ensure_first_project(gateway: LocalGateway, settings: Settings) -> None:
    """The first project follows PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY where those are set."""
    if settings.project_public_key:
        keys = KeyPair(settings.project_public_key, settings.project_secret_key)
        _complete_first_project(gateway, settings)
        first = ProjectSettings(
            name=settings.project_name, countries=settings.project_countries, origins=settings.project_origins
        )
        known_to_all = _current_keys(gateway.store) & _OF_DEVELOPMENT
        keep = 0 if known_to_all else settings.project_keys_overlap_seconds
        if not has_its_keys(gateway, settings):
            log.warning(
                "the first project gets PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY; its old keys end in %s s",
                keep,
            )
        gateway.projects.ensure_first(first, keys, keep)
    if settings.sandbox:
        others = [project for project in gateway.store.projects() if not project.settings.bot_token]
        introduce_bot(gateway.store, others, int(SANDBOX_TOKEN.partition(":")[0]), SANDBOX_BOT)
    gateway.projects.forget()


def missing_of_first_project(settings: Settings) -> str:
    """What must be set where there is no project yet; empty where one can be made."""
    if not settings.project_public_key:
        return (
            "there is none, so nobody has a key that works: set PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY, "
            "or kodgate project create"
        )
    if not settings.project_countries:
        return (
            "PROJECT_COUNTRIES is needed to create the first project: the countries that SMS, WhatsApp and Viber "
            "go to, such as RU,KZ,+44, or all, to which anybody may then run up your bill"
        )
    return ""


def _complete_first_project(gateway: LocalGateway, settings: Settings) -> None:
    """A first project is not made before somebody has said where it sends. Where it has no countries or
    origins, it gets those of the settings.

    Raises `SettingsError`.
    """
    projects = gateway.store.projects()
    if not projects and (missing := missing_of_first_project(settings)):
        raise SettingsError(missing)
    if projects:
        chosen = projects[0].settings
        complete = msgspec.structs.replace(
            chosen,
            countries=chosen.countries or settings.project_countries,
            origins=chosen.origins or settings.project_origins,
        )
        if complete != chosen:
            gateway.store.change_project(projects[0].id, complete)


def introduce_bot(store: Store, projects: Iterable[Project], bot_id: int, username: str) -> None:
    """Write down these projects' bot, so that web can make its deep links."""
    for project in projects:
        if (project.settings.bot_id, project.settings.bot_username) == (bot_id, username):
            continue
        # Those before it may have taken seconds, in which somebody may have changed this one.
        current = next((one.settings for one in store.projects() if one.id == project.id), None)
        if current and current.bot_token == project.settings.bot_token:
            changed = msgspec.structs.replace(current, bot_id=bot_id, bot_username=username)
            store.change_project(project.id, changed)
