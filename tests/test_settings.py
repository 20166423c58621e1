import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import httpx
import pytest
from click.testing import CliRunner

from bench.processes import free_ports
from gateway.bootstrap import build_gateway
from gateway.channels import Channel
from gateway.cli import main
from gateway.doctor import Finding, examine
from gateway.errors import AccessDenied
from gateway.misspelt import misspelt
from gateway.providers import WeightedUrl
from gateway.settings import Settings, SettingsError, load_settings
from gateway.store import StoreError, open_store
from tests.servers import ROOT, until

PRODUCTION = {
    "KODGATE_ENV": "production",
    "PUBLIC_URL": "https://login.example.com",
    "SECRET_KEYS": "s" * 40,
    "PROJECT_PUBLIC_KEY": "pk_site",
    "PROJECT_SECRET_KEY": "sk_site_0123456789",
    "PROJECT_COUNTRIES": "RU,KZ",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_development_needs_nothing_and_plays_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    assert settings.sandbox
    assert set(settings.provider_urls) == set(Channel) - {Channel.TELEGRAM}
    assert settings.telegram_api_url == "http://127.0.0.1:8002"
    assert (settings.public_url, settings.live_url) == ("http://localhost:8000", "http://localhost:8001")


@pytest.mark.parametrize(("host", "local"), [("::1", "[::1]"), ("::", "[::1]"), ("127.0.0.2", "127.0.0.2")])
def test_an_address_stands_in_a_url_as_urls_have_it(
    monkeypatch: pytest.MonkeyPatch, host: str, local: str
) -> None:
    settings = load(monkeypatch, HOST=host, PUBLIC_URL="http://[2001:db8::1]:8000")
    assert settings.telegram_api_url == f"http://{local}:8002"
    assert settings.live_url == "http://[2001:db8::1]:8001"


@pytest.mark.parametrize(("given", "host"), [("localhost", "127.0.0.1"), ("::0", "::")])
def test_the_address_listened_on_is_as_granian_takes_it(
    monkeypatch: pytest.MonkeyPatch, given: str, host: str
) -> None:
    settings = load(monkeypatch, HOST=given)
    assert settings.host == host
    ip_address(settings.local_host.strip("[]"))


@pytest.mark.parametrize(
    ("given", "public", "live"),
    [
        ("HTTPS://Login.Example.com:443/", "https://login.example.com", "https://login.example.com"),
        ("https://пример.рф", "https://xn--e1afmkfd.xn--p1ai", "https://xn--e1afmkfd.xn--p1ai"),
        ("http://[::1]:80", "http://[::1]", "http://[::1]"),
    ],
)
def test_the_sites_address_is_spelt_as_browsers_do(
    monkeypatch: pytest.MonkeyPatch, given: str, public: str, live: str
) -> None:
    """Else its own pages would be told from it by a letter, and a policy could not be sent at all."""
    settings = load(monkeypatch, **{**PRODUCTION, "PUBLIC_URL": given})
    assert (settings.public_url, settings.live_url) == (public, live)


def test_doctor_changes_no_keys_and_says_what_a_start_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3"}
    build_gateway(load(monkeypatch, **site)).close()
    others = {**site, "PROJECT_PUBLIC_KEY": "pk_other", "PROJECT_SECRET_KEY": "sk_other_0123456789"}
    [found] = [one for one in examine(load(monkeypatch, **others)) if one.subject == "store"]
    assert not found.well
    assert "the first project has other keys" in found.text
    gateway = build_gateway(load(monkeypatch, **site), changes=False)
    assert gateway.authenticate("pk_site")
    gateway.close()
    assert [one.well for one in examine(load(monkeypatch, **site)) if one.subject == "store"] == [True]


def test_doctor_runs_no_migration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """New code may be looked at before the processes of the old are stopped."""
    site = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3"}
    build_gateway(load(monkeypatch, **site)).close()
    with closing(sqlite3.connect(tmp_path / "k.sqlite3", isolation_level=None)) as database:
        database.execute("DELETE FROM migration WHERE number = (SELECT max(number) FROM migration)")
        before = database.execute("SELECT * FROM migration").fetchall()
        [found] = [one for one in examine(load(monkeypatch, **site)) if one.subject == "store"]
        assert (found.well, found.text) == (
            False,
            "1 migrations are to come: the next start of web or bot runs them, or kodgate migrate",
        )
        assert database.execute("SELECT * FROM migration").fetchall() == before


def test_keys_that_are_replaced_work_on_for_a_while(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = [4_000_000_000_000]
    site = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3"}
    others = {**site, "PROJECT_PUBLIC_KEY": "pk_other", "PROJECT_SECRET_KEY": "sk_other_0123456789"}
    build_gateway(load(monkeypatch, **site), lambda: now[0]).close()
    gateway = build_gateway(load(monkeypatch, **others), lambda: now[0])
    now[0] += 3599_000
    assert gateway.authenticate("sk_site_0123456789") == gateway.authenticate("sk_other_0123456789")
    now[0] += 1000
    with pytest.raises(AccessDenied):
        gateway.authenticate("sk_site_0123456789")
    gateway.close()
    third = {
        "PROJECT_PUBLIC_KEY": "pk_3",
        "PROJECT_SECRET_KEY": "sk_third_0123456789",
        "PROJECT_KEYS_OVERLAP_SECONDS": "0",
    }
    gateway = build_gateway(load(monkeypatch, **{**site, **third}), lambda: now[0])
    with pytest.raises(AccessDenied):
        gateway.authenticate("sk_other_0123456789")
    gateway.close()


def test_an_overlap_that_is_taken_back_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One of the old keys has leaked, it turns out."""
    site = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3"}
    others = {**site, "PROJECT_PUBLIC_KEY": "pk_other", "PROJECT_SECRET_KEY": "sk_other_0123456789"}
    for settings in (site, others):
        build_gateway(load(monkeypatch, **settings)).close()
    gateway = build_gateway(load(monkeypatch, **others, PROJECT_KEYS_OVERLAP_SECONDS="0"))
    assert gateway.authenticate("sk_other_0123456789")
    with pytest.raises(AccessDenied):
        gateway.authenticate("sk_site_0123456789")
    gateway.close()


@pytest.mark.parametrize("changed", ["PROJECT_PUBLIC_KEY", "PROJECT_SECRET_KEY"])
def test_one_key_may_change_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str) -> None:
    site = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3", "PROJECT_KEYS_OVERLAP_SECONDS": "0"}
    build_gateway(load(monkeypatch, **site)).close()
    gateway = build_gateway(load(monkeypatch, **{**site, changed: "new_key_0123456789"}))
    assert gateway.authenticate("new_key_0123456789")[1] == (changed == "PROJECT_SECRET_KEY")
    with pytest.raises(AccessDenied):
        gateway.authenticate(PRODUCTION[changed])
    kept = {"PROJECT_PUBLIC_KEY", "PROJECT_SECRET_KEY"} - {changed}
    assert gateway.authenticate(PRODUCTION[kept.pop()])
    gateway.close()


def test_doctor_is_not_content_with_keys_that_were_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process that still had the former ones was started anew: the new ones end with the overlap."""
    site = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3"}
    others = {**site, "PROJECT_PUBLIC_KEY": "pk_other", "PROJECT_SECRET_KEY": "sk_other_0123456789"}
    for settings in (site, others, site):
        build_gateway(load(monkeypatch, **settings)).close()
    [found] = [one for one in examine(load(monkeypatch, **others)) if one.subject == "store"]
    assert not found.well
    assert "3600 s later refuses the others" in found.text


def test_the_keys_of_development_end_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everybody knows them."""
    tried = {"DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3", "SECRET_KEYS": PRODUCTION["SECRET_KEYS"]}
    build_gateway(load(monkeypatch, **tried)).close()
    gateway = build_gateway(load(monkeypatch, **{**PRODUCTION, **tried}))
    assert gateway.authenticate("pk_site")
    for key in ("pk_development", "sk_development"):
        with pytest.raises(AccessDenied):
            gateway.authenticate(key)
    gateway.close()


def test_the_first_project_has_the_origins_that_are_set_until_it_has_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/k.sqlite3"}

    def origins(given: str) -> tuple[str, ...]:
        gateway = build_gateway(load(monkeypatch, **{**site, "PROJECT_ORIGINS": given}))
        [project] = gateway.store.projects()
        gateway.close()
        return project.settings.origins

    assert origins("") == ()
    assert origins("https://Shop.example.com/, https://*.example.org") == (
        "https://shop.example.com",
        "https://*.example.org",
    )
    assert origins("https://other.example.com") == ("https://shop.example.com", "https://*.example.org")
    with pytest.raises(SettingsError, match="PROJECT_ORIGINS: each must be an origin"):
        load(monkeypatch, **{**site, "PROJECT_ORIGINS": "shop.example.com"})


def test_several_providers_have_spaces_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="SMS_URL: holds several URLs with commas"):
        load(monkeypatch, SMS_URL="webhook+http://a.example/send,webhook+http://b.example/send")


def test_a_wrong_network_is_told_by_its_settings_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^TRUSTED_PROXIES: "):
        load(monkeypatch, TRUSTED_PROXIES="localhost")


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("PUBLIC_URL", "https://example.com/login", "can have no path"),
        ("PUBLIC_URL", "https://example.com/?a=1", "must be an http(s) address"),
        ("PUBLIC_URL", "https://ann:pw@example.com", "must be an http(s) address"),
        ("PUBLIC_URL", "https://exa mple.com", "must be an http(s) address"),
        ("LIVE_URL", "wss://live.example.com", "must be an http(s) address"),
    ],
)
def test_an_address_that_pages_cannot_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, part: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"{name} {part}")):
        load(monkeypatch, **{**PRODUCTION, name: value})


def test_the_accounts_origins_are_read_and_refused_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    account = {
        "KODMOBI_URL": "https://api.example.com",
        "KODMOBI_PUBLIC_KEY": "pk_account",
        "KODMOBI_SECRET_KEY": "sk_account",
    }
    settings = load(monkeypatch, **account, KODMOBI_ORIGINS="https://Shop.example.com/, https://*.магазин.рф")
    assert settings.kodmobi_origins == ("https://shop.example.com", "https://*.xn--80aairftm.xn--p1ai")
    with pytest.raises(SettingsError, match="KODMOBI_ORIGINS: each must be an origin"):
        load(monkeypatch, **account, KODMOBI_ORIGINS="shop.example.com")


def test_a_bot_token_ends_the_play(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, TELEGRAM_BOT_TOKEN="42:real")
    assert not settings.sandbox
    assert settings.telegram_link_url == "https://t.me"
    assert settings.provider_urls == {}


def test_production_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION, SMS_URL="webhook+https://sms.example.com/send")
    assert settings.live_url == "https://login.example.com"
    assert settings.provider_urls == {Channel.SMS: (WeightedUrl("webhook+https://sms.example.com/send"),)}


def test_several_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, SECRET_KEYS=" one , two,").secret_keys == ("one", "two")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", ""),
        ("SECRET_KEYS", ""),
        ("SECRET_KEYS", "short"),
        ("SECRET_KEYS", "development-only-secret-never-use-it-in-production"),
        ("PROJECT_SECRET_KEY", "sk_development"),
        ("PROJECT_SECRET_KEY", "1"),
        ("PROJECT_SECRET_KEY", "pk_site_0123456789"),
        ("PROJECT_PUBLIC_KEY", "sk_other_0123456789"),
        ("PROJECT_PUBLIC_KEY", "sk_site_0123456789"),
        ("TELEGRAM_BOT_TOKEN", "1:sandbox"),
        ("LIMITS", "off"),
    ],
)
def test_production_refuses_what_belongs_to_development(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=name):
        load(monkeypatch, **{**PRODUCTION, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KODGATE_ENV", "staging"),
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("PUBLIC_URL", "login.example.com"),
        ("HOST", "login.example.com"),
        ("HOST", "fe80::1%eth0"),
        ("TELEGRAM_API_URL", "ftp://x"),
        ("TELEGRAM_API_URL", "https://api.example.com/a b"),
        ("DATABASE_URL", "mysql://x"),
        ("SMS_URL", "twilio://x"),
        ("SMS_URL", "webhook+https://"),
        ("EMAIL_URL", "nonsense"),
        ("LIMITS", "maybe"),
        ("CODE_ATTEMPTS", "0"),
        ("LEASE_SECONDS", "5"),
        ("PROJECT_PUBLIC_KEY", "pk_alone"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    alone = {"PROJECT_SECRET_KEY": ""} if name == "PROJECT_PUBLIC_KEY" else {}
    environment = {**PRODUCTION, **alone, name: value}
    with pytest.raises(SettingsError, match=name) as refusal:
        load(monkeypatch, **environment)
    assert "\n" not in str(refusal.value)


def test_two_keys_that_are_alike_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = "a-key-of-another-make"
    with pytest.raises(SettingsError, match="PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY must differ"):
        load(monkeypatch, **{**PRODUCTION, "PROJECT_PUBLIC_KEY": alike, "PROJECT_SECRET_KEY": alike})


def test_an_accounts_keys_are_as_the_account_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    account = {"KODMOBI_URL": "https://api.example.com", "KODMOBI_PUBLIC_KEY": "a", "KODMOBI_SECRET_KEY": "b"}
    assert load(monkeypatch, **{**PRODUCTION, **account}).project_secret_key == "b"


def test_an_env_file_that_can_not_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("PROJECT_NAME=Магазин".encode("cp1251"))
    with pytest.raises(SettingsError, match=r"^\.env can't be read: .*utf-8"):
        load_settings()
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").symlink_to("/proc/self/mem")  # whose first page nobody may read, root neither
    with pytest.raises(SettingsError, match=r"^\.env can't be read: Input/output error$"):
        load_settings()


@pytest.mark.parametrize("command", ["run", "web", "bot", "migrate", "doctor"])
def test_every_command_says_it_in_one_line(tmp_path: Path, command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.cli", command],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SMS_URL": "twilio://x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert "SMS_URL" in ended.stderr


def test_a_database_that_can_not_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = subprocess.run(
        [sys.executable, "-m", "web"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": f"sqlite:///{tmp_path}/file/below/kodgate.sqlite3",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "DATABASE_URL" in ended.stderr


def test_the_operator_makes_lists_and_rotates_projects(tmp_path: Path) -> None:
    def kodgate(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli", *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    made = kodgate("project", "create", "My shop", "--countries", "all")
    assert "pk_" in made
    assert "sk_" in made
    assert "My shop" in kodgate("project", "list")
    rotated = kodgate("project", "rotate-keys", "2")
    assert "pk_" in rotated
    assert rotated != made
    assert kodgate("migrate").startswith("The schema is up to date")
    assert "WRONG" not in kodgate("doctor")


BOT_TOKEN = f"42:{'a' * 35}"


def kodgate(*words: str, typed: str = "") -> tuple[int, str]:
    """Exit code and everything said."""
    ended = CliRunner().invoke(main, words, input=typed)
    return ended.exit_code, ended.output


def test_a_projects_own_bot_is_kept_to_itself(tmp_path: Path) -> None:
    assert kodgate("project", "set-bot", "1", typed=f"{BOT_TOKEN}\n")[0] == 0
    shown = kodgate("project", "show", "1")[1]
    assert {"bot_id=42", "bot_username=", "bot_token=(set)"} <= set(shown.splitlines())
    assert kodgate("project", "set", "1", "name=Shop")[0] == 0
    assert "bot_token=(set)" in kodgate("project", "show", "1")[1]
    for file in tmp_path.rglob("*.sqlite3*"):
        assert BOT_TOKEN[3:].encode() not in file.read_bytes()
    assert kodgate("project", "set-bot", "1", "--remove")[0] == 0
    assert {"bot_id=1", "bot_token="} <= set(kodgate("project", "show", "1")[1].splitlines())


@pytest.mark.parametrize(
    "token", ["", "42", "42:short", f"x{BOT_TOKEN}", f"{BOT_TOKEN}é", "2:sandbox2", "0:sandbox", "٤٢:sandbox"]
)
def test_what_is_no_bot_token_is_refused_in_one_line(token: str) -> None:
    code, said = kodgate("project", "set-bot", "1", typed=f"{token}\n")
    assert (code, len(said.splitlines())) == (1, 1)
    assert "@BotFather" in said
    assert re.search("^bot_token=$", kodgate("project", "show", "1")[1], re.MULTILINE)


def test_a_bot_is_set_for_a_project_that_is_there_and_never_by_an_argument() -> None:
    assert kodgate("project", "set-bot", "7", typed=BOT_TOKEN)[0] == 1
    assert kodgate("project", "set-bot", "1", BOT_TOKEN)[0] == 2
    assert kodgate("project", "set", "1", f"bot_token={BOT_TOKEN}")[0] == 1


def test_the_sandboxs_bots_are_for_development_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kodgate("project", "set-bot", "1", typed="2:sandbox")[0] == 0
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///production.sqlite3")
    assert kodgate("project", "set-bot", "1", typed="2:sandbox")[0] == 1
    assert kodgate("project", "set-bot", "1", typed=BOT_TOKEN)[0] == 0


@pytest.mark.parametrize("hours", ["-1", "nan", "1e9"])
def test_hours_are_from_none_to_a_year(hours: str) -> None:
    assert kodgate("project", "create", "Shop", "--countries", "all")[0] == 0
    for words in (("project", "rotate-keys", "2", "--keep"), ("guard", "stop", "1", "+1876", "--hours")):
        code, said = kodgate(*words, hours)
        assert code == 2, said
        assert "hours" in said or "range" in said


@pytest.mark.parametrize("name", ["", " ", "My\nshop", "My\x1bshop", "My\udcffshop"])
def test_a_projects_name_is_a_line(name: str) -> None:
    for words in (("create", name, "--countries", "all"), ("set", "1", f"name={name}")):
        code, said = kodgate("project", *words)
        assert (code, said.count("\n")) == (1, 1), said
        assert said.startswith("Error: name: write ")
    assert kodgate("project", "list")[1] == "1\tKodgate\n"


def test_keys_are_shown_where_the_projects_name_can_not_be_written(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "project", "create", "Größe Магазин", "--countries", "all"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        timeout=60,
        check=True,
    ).stdout.decode("latin-1")
    assert r"Größe \u041c\u0430" in shown
    assert "sk_" in shown


def test_the_readme_lists_every_setting_with_its_default() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, setting in Settings.model_fields.items():
        default = "" if setting.default in ((), "", None) else f"`{setting.default}`"
        assert f"| `{name.upper()}` | {default} | {setting.description} |" in readme


@contextmanager
def run_there(folder: Path, settings: Mapping[str, object]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`kodgate run` in a folder whose .env alone has the settings, as a terminal's group of processes; its log."""
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    log = folder / "log"
    with log.open("wb") as lines:
        running = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "run"],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), **kept},
            stderr=lines,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield running, log
    finally:
        running.terminate()
        running.wait(15)


def test_every_process_reads_the_env_file_of_the_folder_it_is_started_in(tmp_path: Path) -> None:
    """Started elsewhere, a production site must never come up with the development keys that everybody knows."""
    port, live_port = free_ports(2)
    settings = {
        **PRODUCTION,
        "PORT": str(port),
        "LIVE_PORT": str(live_port),
        "DATABASE_URL": f"sqlite:///{tmp_path}/site.sqlite3",
        "SMS_URL": "webhook+http://127.0.0.1:9/",
    }

    def asked(key: str) -> int | None:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/session/channels", headers={"x-api-key": key}, timeout=2)
        except httpx.HTTPError:
            return None
        return answer.status_code

    with run_there(tmp_path, settings):
        assert until(lambda: asked(PRODUCTION["PROJECT_PUBLIC_KEY"]), "web answers", 30) == 200
        assert asked("pk_development") == 401
        assert (tmp_path / "site.sqlite3").exists()


def test_the_sandbox_is_where_the_env_file_says_and_each_process_tells_of_misspelt_names(tmp_path: Path) -> None:
    port, live_port, sandbox_port = free_ports(3)
    settings = {
        "PORT": port,
        "LIVE_PORT": live_port,
        "SANDBOX_PORT": sandbox_port,
        "SMS_ULR": "log://",
        "SITE": "x",
    }
    with run_there(tmp_path, settings) as (_, log):
        until(lambda: log.read_text().count("ready on http") == 2, "web and bot are ready", 60)
        assert httpx.get(f"http://127.0.0.1:{sandbox_port}/healthz").status_code == 200
    lines = log.read_text().splitlines()
    for process in ("web", "bot"):
        [told] = [line for line in lines if f"{process} WARNING gateway.misspelt" in line]
        assert told.endswith("SMS_ULR is no setting, and nobody reads it; SMS_URL is")


def test_with_its_terminal_all_of_it_ends(tmp_path: Path) -> None:
    port, live_port = free_ports(2)
    settings = {
        **PRODUCTION,
        "PORT": port,
        "LIVE_PORT": live_port,
        "DATABASE_URL": f"sqlite:///{tmp_path}/site.sqlite3",
        "SMS_URL": "webhook+http://127.0.0.1:9/",
    }
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    with run_there(tmp_path, settings) as (running, log):
        signal.signal(signal.SIGHUP, former)
        until(lambda: log.read_text().count("ready on http") == 2, "web and bot are ready", 60)
        try:
            os.killpg(running.pid, signal.SIGHUP)
            assert running.wait(15) == 0
            for one in (port, live_port):
                socket.create_server(("127.0.0.1", one)).close()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def test_run_starts_nothing_on_one_port_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = map(str, free_ports(1))
    monkeypatch.setenv("PORT", port)
    monkeypatch.setenv("LIVE_PORT", port)
    code, said = kodgate("run")
    assert (code, said) == (
        2,
        f"kodgate: PORT and LIVE_PORT are the same, {port}: web and bot each need their own\n",
    )


@pytest.mark.parametrize("name", ["TELEGRAM_BOT_TOKE", "SECRET_KEY", "trusted_proxy", "SMS_ULR"])
def test_doctor_finds_a_name_that_looks_like_a_settings(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert misspelt() == [found.text for found in examine(load(monkeypatch)) if not found.well]
    [line] = misspelt()
    assert line.startswith(f"{name.upper()} is no setting")


@pytest.mark.parametrize("name", ["HOSTNAME", "PATH", "POSTGRES_PASSWORD", "SITE", "WEB", "REPORT", "HTTP_PROXY"])
def test_what_other_programs_read_is_not_meant(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert misspelt() == []


def test_doctor_makes_no_database(tmp_path: Path) -> None:
    """A path that is mistyped would look well."""
    path = tmp_path / "var" / "kodgate.sqlite3"
    settings = Settings(_env_file=None, database_url=f"sqlite:///{path}")
    [store] = [found for found in examine(settings) if found.subject == "store"]
    assert store.well
    assert f"none yet at sqlite:///{path}" in store.text
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("given", "well"),
    [
        ({}, False),
        ({"HOST": "::1"}, False),
        ({"HOST": "0.0.0.0"}, True),  # noqa: S104
        ({"TRUSTED_PROXIES": "127.0.0.1"}, True),
        ({"KODGATE_ENV": "development"}, True),
    ],
)
def test_doctor_tells_where_a_proxy_would_be_taken_for_everybody(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], well: bool
) -> None:
    settings = load(monkeypatch, **{**PRODUCTION, **given})
    [found] = [found for found in examine(settings) if found.subject == "TRUSTED_PROXIES"]
    assert found.well == well, found.text


@pytest.mark.parametrize("migrated", [False, True])
@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("PROJECT_COUNTRIES",), "PROJECT_COUNTRIES is needed"),
        (("PROJECT_PUBLIC_KEY", "PROJECT_SECRET_KEY"), "nobody has a key that works"),
        ((), ""),
    ],
)
def test_doctor_says_what_the_first_project_lacks(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], told: str, migrated: bool
) -> None:
    settings = load(monkeypatch, **{**PRODUCTION, **dict.fromkeys(missing, "")})
    if migrated:
        open_store(settings.database_url).migrate()
    found = [one for one in examine(settings) if one.subject == "first project"]
    assert [told in one.text and not one.well for one in found] == [True] * bool(told)


def test_doctor_tells_where_no_store_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def store() -> str:
        return next(one.text for one in examine(load_settings()) if one.subject == "store" and not one.well)

    (tmp_path / "file").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/file/below/k.sqlite3")
    assert f"{tmp_path}/file can't be written into" in store()
    monkeypatch.setenv("DATABASE_URL", "sqlite:///none/below/k.sqlite3")
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)  # root may write everywhere
    assert f"{tmp_path} can't be written into" in store()


@pytest.mark.parametrize(
    ("public", "live", "well"),
    [("https", "http", False), ("https", "https", True), ("http", "http", True)],
)
def test_doctor_tells_of_streams_that_browsers_block(
    monkeypatch: pytest.MonkeyPatch, public: str, live: str, well: bool
) -> None:
    urls = {"PUBLIC_URL": f"{public}://login.example.com", "LIVE_URL": f"{live}://live.example.com"}
    [found] = [one for one in examine(load(monkeypatch, **{**PRODUCTION, **urls})) if one.subject == "LIVE_URL"]
    assert found.well == well


def test_doctor_tells_of_a_folder_of_texts_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, MESSAGES_FOLDER="mesages")
    wrong = [one.text for one in examine(settings) if one.subject == "providers"]
    assert wrong == ["MESSAGES_FOLDER: there is no folder mesages"]


@contextmanager
def bot_api(answer: bytes) -> Iterator[str]:
    """The address of a server that says this to whoever asks, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(answer)

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", OK + b"Content-Length: 99\r\n\r\n{", OK + b"\r\n[]", OK + b'\r\n{"result": []}'],
)
def test_doctor_goes_on_whatever_the_bot_api_answers(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    with bot_api(answer) as url:
        found = list(examine(load(monkeypatch, TELEGRAM_BOT_TOKEN=BOT_TOKEN, TELEGRAM_API_URL=url)))
    [telegram] = [one for one in found if one.subject == "Telegram"]
    assert not telegram.well
    assert re.fullmatch(f"{url} can't be reached: .+|another program answers at {url}", telegram.text)
    assert found[-1].subject == "Email"


def test_doctor_asks_the_bot_api_past_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the bot does."""
    monkeypatch.setattr("urllib.request._opener", None)  # which keeps the proxies of its first request
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_ports(1)[0]}")
    with bot_api(OK + b'\r\n{"result": {"id": 42, "username": "a_bot"}}') as url:
        found = list(examine(load(monkeypatch, TELEGRAM_BOT_TOKEN=BOT_TOKEN, TELEGRAM_API_URL=url)))
    assert [one.text for one in found if one.subject == "Telegram"] == ["@a_bot"]


def test_doctor_shows_no_token_of_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, TELEGRAM_BOT_TOKEN=BOT_TOKEN, TELEGRAM_API_URL="http://127.0.0.1:8o81")
    [found] = [one for one in examine(settings) if one.subject == "Telegram"]
    assert not found.well
    bent = settings.model_copy(update={"telegram_api_url": "http://127.0.0.1:8081/a b"})
    assert not [one for one in examine(bent) if BOT_TOKEN in one.text]


def test_doctor_says_each_thing_as_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Settings) -> Iterator[Finding]:
        yield Finding("settings", False, "one thing")
        raise StoreError("the disk is gone")

    monkeypatch.setattr("gateway.cli.examine", breaks)
    assert kodgate("doctor") == (2, "WRONG settings: one thing\nkodgate: the disk is gone\n")


def test_doctor_says_that_without_a_channel_nobody_can_log_in(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        kodgate_env="production",
        public_url="https://login.example.com",
        secret_keys="a" * 40,
        project_public_key="pk_site",
        project_secret_key="sk_site_0123456789",
        project_countries="all",
        database_url=f"sqlite:///{tmp_path}/k.sqlite3",
        trusted_proxies="127.0.0.1",
    )
    wrong = [finding.text for finding in examine(settings) if not finding.well]
    assert len(wrong) == 1
    assert "nobody can log in" in wrong[0]


def test_a_process_may_open_as_many_files_as_the_system_permits(tmp_path: Path) -> None:
    """Shells and containers begin with a limit of 1,024, and a bot holds 20,000 streams."""
    code = (
        "import resource as r\n"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (256, hard))\n"
        "from gateway.bootstrap import start_process\n"
        "_, gateway = start_process('bot')\n"
        "gateway.close()\n"
        "print(r.getrlimit(r.RLIMIT_NOFILE) == (min(hard, 1_048_576), hard))"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip() == "True", ended.stderr
