"""compose.yaml without a container engine: what it names exists, and production starts with its settings."""

import re
from ipaddress import ip_network
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from gateway.settings import Settings, load_settings
from tests.servers import ROOT

FOLDER = ROOT / "deploy"
GIVEN = {"SITE": "login.example.com", "POSTGRES_PASSWORD": "0123456789abcdef"}
FILLED = {
    **GIVEN,
    "KODGATE_ENV": "production",
    "SECRET_KEYS": "s" * 64,
    "PROJECT_COUNTRIES": "KZ",
    "PROJECT_PUBLIC_KEY": "pk_" + "0" * 32,
    "PROJECT_SECRET_KEY": "sk_" + "0" * 32,
    "TELEGRAM_BOT_TOKEN": "123456:ABC",
}


def filled(match: re.Match[str]) -> str:
    return GIVEN[match[1]]


COMPOSE: dict[str, Any] = yaml.safe_load(
    re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", filled, (FOLDER / "compose.yaml").read_text("utf-8"))
)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def process(service: dict[str, Any]) -> str:
    program, name = service["command"]
    assert program == "kodgate"
    return str(name)


def test_two_of_each_process_stand_behind_the_proxy_at_the_ports_where_they_listen() -> None:
    assert sorted(process(service) for service in OURS.values()) == ["bot", "bot", "web", "web"]
    ports = {"web": Settings.model_fields["port"].default, "bot": Settings.model_fields["live_port"].default}
    for name in ("web", "bot"):
        behind = [f"{key}:{ports[name]}" for key, service in OURS.items() if process(service) == name]
        assert SERVICES["caddy"]["environment"][name.upper()] == " ".join(behind)


@pytest.mark.parametrize("name", OURS)
def test_its_settings_start_in_production(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = OURS[name]["environment"]
    assert {key.lower() for key in environment} <= set(Settings.model_fields)
    for key, value in (FILLED | environment).items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    assert settings.production
    assert settings.live_url == settings.public_url == "https://login.example.com"


@pytest.mark.parametrize("name", OURS)
def test_it_is_asked_for_its_health_and_can_change_nothing(name: str) -> None:
    service = OURS[name]
    assert service["healthcheck"]["test"] == ["CMD", "kodgate", "health", process(service)]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert (FOLDER / service["build"] / "Dockerfile").exists()


def test_the_processes_know_the_proxy_by_the_only_network_that_they_share() -> None:
    [shared] = set(SERVICES["caddy"]["networks"]) & set(OURS["web-1"]["networks"])
    [network] = COMPOSE["networks"][shared]["ipam"]["config"]
    assert {service["environment"]["TRUSTED_PROXIES"] for service in OURS.values()} == {network["subnet"]}
    assert ip_network(network["subnet"]).is_private
    header = OURS["web-1"]["environment"]["ADDRESS_HEADER"]
    assert f"header_up {header} {{remote_host}}" in (FOLDER / "Caddyfile").read_text("utf-8")
    assert f"proxy_set_header {header} $remote_addr;" in (FOLDER / "nginx.conf").read_text("utf-8")


def test_what_it_mounts_exists_and_every_volume_and_network_is_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        assert set(service["networks"]) <= set(COMPOSE["networks"])


def test_the_example_of_settings_has_what_it_needs_and_no_secret() -> None:
    lines = (FOLDER / "env.example").read_text("utf-8").splitlines()
    pairs = dict(line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))
    assert set(FILLED) <= set(pairs)
    assert {name.lower() for name in pairs} - {"site", "postgres_password"} <= set(Settings.model_fields)
    assert not any(pairs[name] for name in pairs if "SECRET" in name or "PASSWORD" in name or "TOKEN" in name)
