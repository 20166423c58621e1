"""The challenge: who is asked, what passes, once, and what happens where a provider is away."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import altcha
import httpx
import msgspec
import pytest
from click.testing import CliRunner

from gateway import errors
from gateway.bootstrap import build_gateway
from gateway.cli import main
from gateway.contact import parse_contact
from gateway.doctor import examine
from gateway.keyring import Keyring
from gateway.local import LocalGateway
from gateway.projects import Project, ProjectSettings, change_settings
from gateway.settings import DEVELOPMENT_SECRET, Settings
from gateway.store.sqlite import SqliteStore
from gateway.verbs import Caller, Challenge
from tests.captcha import Captcha, drips, says, slow
from tests.databases import lose_power
from tests.figures import Figure
from tests.servers import PUBLIC, SECRET, Servers, hosted_by
from tests.world import World, make_world, new_phone

QUICK: dict[str, Any] = {"challenge_cost": 2, "challenge_tries": 8}
PROVIDERS = ("turnstile", "smartcaptcha", "recaptcha")


def solve(challenge: dict[str, Any]) -> str:
    """As ALTCHA's own client does."""
    asked = altcha.Challenge.from_dict(challenge)
    solution = altcha.solve_challenge(asked)
    assert solution is not None
    return altcha.Payload(asked, solution).to_base64()


def change(gateway: LocalGateway, project: Project, **changes: Any) -> Project:
    changed = msgspec.structs.replace(project.settings, **changes)
    gateway.store.change_project(project.id, changed)
    gateway.projects.forget()
    known = gateway.project(project.id)
    assert known is not None
    return known


def begin(gateway: LocalGateway, caller: Caller, token: str = "", to: str = "") -> str:
    shown = msgspec.structs.replace(caller, challenge=token)
    return gateway.create(shown, parse_contact(to or new_phone())).session_id


def refusal(gateway: LocalGateway, caller: Caller, token: str = "") -> str:
    with pytest.raises(errors.ChallengeRequired) as refused:
        begin(gateway, caller, token)
    return str(refused.value.params["reason"])


@pytest.fixture
def strict(tmp_path: Path) -> World:
    """The first project always asks for ALTCHA's."""
    world = make_world(tmp_path, **QUICK)
    change(world.gateway, world.caller().project, challenge="always")
    return world


# ALTCHA, in this process


def test_a_solution_passes_once(strict: World) -> None:
    gateway, caller = strict.gateway, strict.caller()
    assert refusal(gateway, caller) == "missing"
    token = solve(gateway.new_challenge(caller.project))
    session_id = begin(gateway, caller, token)
    assert refusal(gateway, caller, token) == "wrong"
    gateway.send(caller, session_id, gateway.channels(caller, session_id)[1].type)  # asks nothing
    gateway.check(caller, session_id, strict.code_of(session_id))


def test_a_returned_session_is_asked_for_as_well(strict: World) -> None:
    gateway, caller, phone = strict.gateway, strict.caller(), new_phone()
    first = begin(gateway, caller, solve(gateway.new_challenge(caller.project)), phone)
    assert refusal(gateway, caller) == "missing"
    assert begin(gateway, caller, solve(gateway.new_challenge(caller.project)), phone) == first


def test_a_secret_key_needs_none(strict: World) -> None:
    assert begin(strict.gateway, strict.caller("sk_development"))


def test_a_refused_contact_costs_no_solution(strict: World) -> None:
    gateway, caller = strict.gateway, strict.caller()
    token = solve(gateway.new_challenge(caller.project))
    shown = msgspec.structs.replace(caller, challenge=token)
    with pytest.raises(errors.ChannelCannotReach):
        gateway.create(shown, parse_contact("ann@example.com"), gateway.channels(caller)[0].type)
    assert begin(gateway, caller, token)


def test_it_ends(strict: World) -> None:
    gateway, caller = strict.gateway, strict.caller()
    tokens = [solve(gateway.new_challenge(caller.project)) for _ in range(2)]
    strict.clock.pass_seconds(strict.settings.challenge_seconds - 1)
    assert begin(gateway, caller, tokens[0])
    strict.clock.pass_seconds(2)
    assert refusal(gateway, caller, tokens[1]) == "wrong"


def test_one_from_before_the_boot_is_void(strict: World) -> None:
    gateway, caller = strict.gateway, strict.caller()
    token = solve(gateway.new_challenge(caller.project))
    lose_power(gateway.store, strict.clock() + 1000)
    assert refusal(gateway, caller, token) == "wrong"


def test_it_is_for_its_project_alone(strict: World) -> None:
    gateway = strict.gateway
    other = gateway.store.add_project(ProjectSettings(name="Other", challenge="always"), strict.clock())
    gateway.projects.forget()
    token = solve(gateway.new_challenge(strict.caller().project))
    assert refusal(gateway, Caller(other), token) == "wrong"
    assert begin(gateway, strict.caller(), token)


def test_a_rotated_key_still_opens_what_it_signed(strict: World, tmp_path: Path) -> None:
    token = solve(strict.gateway.new_challenge(strict.caller().project))
    keys = ("another-secret-another-secret-another", DEVELOPMENT_SECRET)
    rotated = build_gateway(strict.settings.model_copy(update={"secret_keys": keys}), strict.clock)
    project, _ = rotated.authenticate("pk_development")
    assert begin(rotated, Caller(project), token)
    forgotten = make_world(tmp_path / "elsewhere", strict.clock, secret_keys=(keys[0],), **QUICK)
    change(forgotten.gateway, forgotten.caller().project, challenge="always")
    fresh = solve(strict.gateway.new_challenge(strict.caller().project))
    assert refusal(forgotten.gateway, forgotten.caller(), fresh) == "wrong"


def altered(token: str, path: tuple[str, ...], value: Any) -> str:
    payload = json.loads(base64.b64decode(token))
    place = payload
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return base64.b64encode(json.dumps(payload).encode()).decode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("solution", "derivedKey"), "00" * 32),
        (("solution", "derivedKey"), None),
        (("solution",), []),
        (("challenge", "signature"), "00" * 32),
        (("challenge", "signature"), None),
        (("challenge", "parameters", "expiresAt"), 9_000_000_000),
        (("challenge", "parameters", "cost"), 1),
        (("challenge", "parameters", "keySignature"), None),
        (("challenge", "parameters", "data", "id"), "01K8N1VMPN0EE389K72YW0CBM2"),
        (("challenge", "parameters", "data"), {}),
        (("challenge",), "text"),
    ],
)
def test_a_changed_solution_is_wrong(strict: World, path: tuple[str, ...], value: Any) -> None:
    token = solve(strict.gateway.new_challenge(strict.caller().project))
    assert refusal(strict.gateway, strict.caller(), altered(token, path, value)) == "wrong"
    assert begin(strict.gateway, strict.caller(), token)


@pytest.mark.parametrize(
    "token", ["x", "\u0416", "====", base64.b64encode(b"[" * 3000).decode(), "e30=", "bnVsbA==", "A" * 100_000]
)
def test_garbage_is_wrong(strict: World, token: str) -> None:
    assert refusal(strict.gateway, strict.caller(), token) == "wrong"


def test_a_spent_one_is_purged_after_it_has_ended(strict: World) -> None:
    gateway, caller = strict.gateway, strict.caller()
    begin(gateway, caller, solve(gateway.new_challenge(caller.project)))
    strict.clock.pass_seconds(3600)
    gone = gateway.store.purge(strict.clock(), 100)
    assert gone >= 3  # the session, its message and the challenge
    assert gateway.store.purge(strict.clock(), 100) == 0


# When traffic looks like abuse


def abuse(world: World, begun: int, completed: int) -> None:
    for number in range(begun):
        session_id = world.create(new_phone(), send=False).session_id
        if number < completed:
            world.gateway.check(world.caller(), session_id, world.code_of(session_id))


def is_asked(world: World) -> bool:
    world.clock.pass_seconds(world.settings.suspicion_look_seconds)
    return world.gateway.challenge_of(world.caller().project).enabled


@pytest.mark.parametrize(("begun", "completed", "suspected"), [(100, 9, True), (100, 10, False), (99, 0, False)])
def test_hardly_any_completed_logins_look_like_abuse(
    tmp_path: Path, begun: int, completed: int, suspected: bool
) -> None:
    world = make_world(tmp_path)
    abuse(world, begun, completed)
    assert not is_asked(world)  # they may still be entering their codes
    world.clock.pass_seconds(world.settings.suspicion_settle_seconds)
    assert is_asked(world) is suspected
    world.clock.pass_seconds(world.settings.suspicion_window_seconds)
    assert not is_asked(world)


def test_suspicion_asks_in_create(tmp_path: Path) -> None:
    world = make_world(tmp_path, **QUICK)
    abuse(world, 100, 0)
    world.clock.pass_seconds(world.settings.suspicion_settle_seconds + 5)
    assert refusal(world.gateway, world.caller()) == "missing"
    assert begin(world.gateway, world.caller(), solve(world.gateway.new_challenge(world.caller().project)))


def test_another_projects_abuse_is_its_own(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    other = world.gateway.store.add_project(ProjectSettings(name="Other"), world.clock())
    abuse(world, 100, 0)
    world.clock.pass_seconds(65)
    assert is_asked(world)
    assert not world.gateway.challenge_of(other).enabled


@pytest.mark.parametrize(("settings", "when"), [({"limits": "off"}, "suspicious"), ({}, "off")])
def test_suspicion_can_be_off(tmp_path: Path, settings: dict[str, Any], when: str) -> None:
    world = make_world(tmp_path, **settings)
    change(world.gateway, world.caller().project, challenge=when)
    abuse(world, 100, 0)
    world.clock.pass_seconds(60)
    assert not is_asked(world)


def test_the_look_is_cheap(tmp_path: Path, figure: Figure) -> None:
    world = make_world(tmp_path)
    abuse(world, 1000, 0)
    store = world.gateway.store
    assert isinstance(store, SqliteStore)
    began = time.process_time()
    assert store.turnout(1, 0, world.clock() + 1, 1000) == (1000, 0)
    took = (time.process_time() - began) * 1000
    figure(f"suspicion: a look at 1,000 sessions takes {took:.2f} ms")


def test_a_look_reads_no_row_of_another_project(tmp_path: Path) -> None:
    """Their keys are in the index: the rows of a busy project would keep a quiet one's visitors for a second."""
    store = make_world(tmp_path).gateway.store
    assert isinstance(store, SqliteStore)
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    store.turnout(1, 0, 1, 1000)
    [(_, _, _, searched), *_] = [
        step for step in store._read(f"EXPLAIN QUERY PLAN {asked[0]}") if step[3].startswith("SEARCH")
    ]
    assert searched == "SEARCH session USING COVERING INDEX session_id (id>? AND id<?)"


# Settings


def test_a_foreign_provider_needs_its_keys() -> None:
    plain = ProjectSettings(name="P")
    with pytest.raises(ValueError, match="set-challenge-secret"):
        change_settings(plain, ["challenge_provider=turnstile", "challenge_site_key=k"])
    sealed = msgspec.structs.replace(plain, challenge_secret="sealed")
    with pytest.raises(ValueError, match="challenge_site_key"):
        change_settings(sealed, ["challenge_provider=turnstile"])
    chosen = change_settings(sealed, ["challenge_provider=turnstile", "challenge_site_key=k", "challenge=always"])
    assert (chosen.challenge, chosen.challenge_provider) == ("always", "turnstile")
    with pytest.raises(ValueError, match="challenge_site_key"):
        change_settings(chosen, ["challenge_site_key="])
    with pytest.raises(ValueError, match="the names are"):
        change_settings(plain, ["challenge_secret=mine"])
    with pytest.raises(ValueError, match="challenge"):
        change_settings(plain, ["challenge=sometimes"])


def test_settings_tell_the_truth(strict: World) -> None:
    gateway, caller = strict.gateway, strict.caller()
    assert gateway.settings(caller).challenge == Challenge(True, None, "altcha")
    off = change(gateway, caller.project, challenge="off")
    assert gateway.settings(Caller(off)).challenge == Challenge(False, None, None)
    foreign = change(gateway, off, challenge="always", challenge_provider="turnstile", challenge_site_key="k")
    assert gateway.settings(Caller(foreign)).challenge == Challenge(True, "k", "turnstile")
    with pytest.raises(errors.NotFound):
        gateway.new_challenge(foreign)


def test_a_rotation_seals_the_secret_anew(strict: World) -> None:
    gateway, project = strict.gateway, strict.caller().project
    gateway.projects.set_challenge_secret(project, "captcha-secret")
    keys = ("another-secret-another-secret-another", DEVELOPMENT_SECRET)
    for secret_keys in (keys, keys[:1]):
        rotated = build_gateway(strict.settings.model_copy(update={"secret_keys": secret_keys}), strict.clock)
        known = rotated.project(project.id)
        assert known is not None
        assert rotated.projects.challenge_secret(known) == "captcha-secret"
        assert "captcha-secret" not in known.settings.challenge_secret


# Somebody else's, over HTTP


@pytest.fixture
def captcha() -> Iterator[Captcha]:
    with Captcha() as running:
        yield running


class Guarded:
    """A gateway whose project asks for a provider's token."""

    def __init__(self, folder: Path, captcha: Captcha, provider: str, **settings: Any) -> None:
        named = {name.lower(): value for name, value in captcha.settings.items()}
        self.world = make_world(folder, challenge_timeout_seconds=0.5, **{**named, **settings})
        self.gateway = self.world.gateway
        project = self.world.caller().project
        self.gateway.projects.set_challenge_secret(project, captcha.secret)
        known = self.gateway.project(project.id)
        assert known is not None
        self.caller = Caller(
            change(
                self.gateway,
                known,
                challenge="always",
                challenge_provider=provider,
                challenge_site_key="site-key",
            )
        )

    def set(self, **changes: Any) -> None:
        self.caller = Caller(change(self.gateway, self.caller.project, **changes))


Guard = Callable[..., Guarded]


@pytest.fixture
def guard(tmp_path: Path, captcha: Captcha) -> Iterator[Guard]:
    """Makes them, and closes their connections."""
    with ExitStack() as ends:

        def make(provider: str, **settings: Any) -> Guarded:
            site = Guarded(tmp_path, captcha, provider, **settings)
            ends.callback(site.gateway.close)
            return site

        yield make


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_token_is_asked_about(guard: Guard, captcha: Captcha, provider: str) -> None:
    site = guard(provider)
    assert refusal(site.gateway, site.caller) == "missing"
    assert captcha.asked == []
    assert begin(site.gateway, site.caller, "good & one")
    assert refusal(site.gateway, site.caller, "good & one") == "wrong"
    assert refusal(site.gateway, site.caller, "bad") == "wrong"
    assert len(captcha.asked) == 3
    assert refusal(site.gateway, site.caller, "good" * 3000) == "wrong"
    assert len(captcha.asked) == 3


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "mood",
    [
        slow(1.0),
        drips,
        says(b"<html>"),
        says(b""),
        says(b"[]"),
        says(b'{"success": "true"}'),
        says(b"{}", 500),
        says(b'{"success": true, "status": "ok"}', 500),
        says(b'{"success": true, "status": "ok"}', 403),
        says(b'{"success": true, "status": "ok", "x": "' + b"x" * 200_000 + b'"}'),
        says(b'{"success": false, "error-codes": ["internal-error"], "status": "?"}'),
        says(b"{" * 10_000),
    ],
    ids=[
        "slow",
        "drips",
        "html",
        "empty",
        "array",
        "form",
        "500",
        "yes-500",
        "yes-403",
        "huge",
        "internal",
        "deep",
    ],
)
def test_a_provider_that_is_down_fails_as_the_project_says(
    guard: Guard, captcha: Captcha, provider: str, mood: Any
) -> None:
    site = guard(provider)
    captcha.mood = mood
    began = time.monotonic()
    with pytest.raises(errors.ChallengeUnavailable) as refused:
        begin(site.gateway, site.caller, "good-1")
    assert time.monotonic() - began < 2
    assert refused.value.status == 503
    assert "again" in refused.value.text("en")
    site.set(challenge_when_down="open")
    assert begin(site.gateway, site.caller, "good-2")
    assert refusal(site.gateway, site.caller) == "missing"
    captcha.mood = None
    assert refusal(site.gateway, site.caller, "bad") == "wrong"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_wrong_secret_is_ours_to_mend(
    guard: Guard, captcha: Captcha, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = guard(provider, challenge_failures=1)
    captcha.secret = "another"
    for token in ("good-1", "good-2"):
        with pytest.raises(errors.ChallengeUnavailable):
            begin(site.gateway, site.caller, token)
    assert len(captcha.asked) == 2  # no breaker: other projects' secrets may be right
    assert "secret" in caplog.text
    assert "captcha-secret" not in caplog.text


def test_a_provider_that_stays_away_is_asked_now_and_then(guard: Guard, captcha: Captcha) -> None:
    site = guard("turnstile", challenge_failures=2, challenge_rest_seconds=1)
    captcha.mood = says(b"", 503)
    for number in range(10):
        with pytest.raises(errors.ChallengeUnavailable):
            begin(site.gateway, site.caller, f"good-{number}")
    assert len(captcha.asked) == 2
    captcha.mood = None
    time.sleep(1.1)
    assert begin(site.gateway, site.caller, "good-late")


def test_a_provider_that_nobody_reaches(guard: Guard, captcha: Captcha) -> None:
    site = guard("turnstile", turnstile_url="http://127.0.0.1:9/verify")
    with pytest.raises(errors.ChallengeUnavailable):
        begin(site.gateway, site.caller, "good")


@pytest.mark.parametrize(("score", "passes"), [(0.9, True), (0.5, True), (0.1, False)])
def test_version_3_of_recaptcha_says_yes_to_robots_too(
    guard: Guard, captcha: Captcha, score: float, passes: bool
) -> None:
    site = guard("recaptcha")
    captcha.mood = says(json.dumps({"success": True, "score": score}).encode())
    if passes:
        assert begin(site.gateway, site.caller, "token")
    else:
        assert refusal(site.gateway, site.caller, "token") == "wrong"


# The running product


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two workers; the first project always asks for ALTCHA's, which is quickly solved."""
    folder = tmp_path_factory.mktemp("guarded")
    quick = {name.upper(): str(value) for name, value in QUICK.items()}
    with Servers(folder, ("web",), WEB_WORKERS="2", WEB_THREADS="8", **quick) as running:
        store = build_gateway(Settings(_env_file=None, database_url=running.database_url)).store
        [project] = store.projects()
        store.change_project(project.id, msgspec.structs.replace(project.settings, challenge="always"))
        time.sleep(5.2)  # until both workers have seen it
        yield running


def fetched(servers: Servers, **headers: str) -> dict[str, Any]:
    answer = servers.http.get(f"{servers.web}/session/challenge", headers=PUBLIC | headers)
    assert answer.status_code == 200
    challenge: dict[str, Any] = answer.json()
    return challenge


def post(servers: Servers, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return servers.http.post(servers.web + path, json=body, headers=PUBLIC | headers)


@pytest.mark.parametrize("header", ["x-challenge-token", "x-cf-turnstile-token"])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/session/create", "to"),
        ("/v2/create", "to"),
        ("/v2.1/create", "to"),
        ("/api/v1/message/create", "phone"),
        ("/api/v2/message/create", "phone"),
    ],
)
def test_every_create_asks(guarded: Servers, path: str, field: str, header: str) -> None:
    body = {field: new_phone()}
    refused = post(guarded, path, body)
    assert refused.status_code == 403
    told = refused.json()
    assert told["sys_message"] == "ERROR_CHALLENGE"
    assert told["error_params"] == {
        "reason": "missing",
        "provider": "altcha",
        "api_key": None,
        "challenge_url": f"{guarded.web}/session/challenge",
    }
    challenge = guarded.http.get(told["error_params"]["challenge_url"], headers=PUBLIC).json()
    token = solve(challenge)
    assert post(guarded, path, body, **{header: token}).status_code == 200
    assert post(guarded, path, body, **{header: token}).json()["error_params"]["reason"] == "wrong"


def test_what_follows_asks_nothing(guarded: Servers) -> None:
    made = post(
        guarded,
        "/session/create",
        {"to": new_phone(), "type": "sms"},
        **{"x-challenge-token": solve(fetched(guarded))},
    )
    session = {"session_id": made.json()["session_id"]}
    assert post(guarded, "/session/send", session | {"type": "viber"}).status_code == 200
    assert guarded.http.get(f"{guarded.web}/session/channels", params=session, headers=PUBLIC).status_code == 200
    code = guarded.code_of(session["session_id"])
    assert post(guarded, "/session/check", session | {"code": code}).status_code == 200


def test_a_server_is_not_asked(guarded: Servers) -> None:
    body = {"to": new_phone()}
    answer = guarded.http.post(f"{guarded.web}/session/create", json=body, headers=SECRET)
    assert answer.status_code == 200


def test_the_settings_say_so(guarded: Servers) -> None:
    answer = guarded.http.get(f"{guarded.web}/session/settings", headers=PUBLIC)
    assert answer.json()["challenge"] == {"enabled": True, "api_key": None, "provider": "altcha"}


def test_a_page_may_fetch_a_challenge_and_show_its_solution(guarded: Servers) -> None:
    origin = "https://shop.example.com"
    answer = guarded.http.get(f"{guarded.web}/session/challenge", headers=PUBLIC | {"origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["cache-control"] == "no-store"
    asks = {"origin": origin, "access-control-request-method": "POST"}
    allowed = guarded.http.options(f"{guarded.web}/session/create", headers=asks)
    assert "x-challenge-token" in allowed.headers["access-control-allow-headers"]


def test_one_solution_shown_fifty_times_at_once_passes_once(guarded: Servers) -> None:
    for _ in range(3):
        token = solve(fetched(guarded))

        def show(phone: str, token: str = token) -> int:
            with httpx.Client(timeout=30) as client:
                headers = PUBLIC | {"x-challenge-token": token}
                return client.post(
                    f"{guarded.web}/session/create", json={"to": phone}, headers=headers
                ).status_code

        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(show, [new_phone() for _ in range(50)]))
        assert sorted(statuses) == [200, *[403] * 49]


def test_a_refusal_is_in_the_callers_language(guarded: Servers) -> None:
    answer = post(guarded, "/session/create", {"to": new_phone()}, **{"accept-language": "ru"})
    assert answer.json()["error"]
    assert answer.json()["status"] == 403


def test_the_signing_key_has_one_purpose() -> None:
    keyring = Keyring([DEVELOPMENT_SECRET])
    purposes = ("altcha", "altcha solution", "verify", "widget", "live", "cookie", "providers")
    assert len({keyring.tokens(purpose)[0] for purpose in purposes}) == len(purposes)


# The operator's side


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/site.sqlite3")
    return tmp_path


def kodgate(*words: str, typed: str = "") -> tuple[int, str]:
    ended = CliRunner().invoke(main, words, input=typed)
    return ended.exit_code, ended.output


def test_an_operator_chooses_a_provider(operator: Path) -> None:
    turnstile = ("project", "set", "1", "challenge_provider=turnstile", "challenge_site_key=site-key")
    code, said = kodgate(*turnstile)
    assert code == 1
    assert "set-challenge-secret" in said
    assert kodgate("project", "set-challenge-secret", "1", typed="\n")[0] == 1
    assert kodgate("project", "set-challenge-secret", "1", typed="captcha-secret\n")[0] == 0
    assert kodgate(*turnstile)[0] == 0
    shown = kodgate("project", "show", "1")[1].splitlines()
    assert {"challenge_provider=turnstile", "challenge_site_key=site-key", "challenge_secret=(set)"} <= set(shown)
    assert all(b"captcha-secret" not in file.read_bytes() for file in operator.rglob("*.sqlite3*"))
    code, said = kodgate("project", "set-challenge-secret", "1", "--remove")
    assert code == 1
    assert "challenge_provider=altcha" in said
    assert kodgate("project", "set", "1", "challenge_provider=altcha")[0] == 0
    assert kodgate("project", "set-challenge-secret", "1", "--remove")[0] == 0
    assert "challenge_secret=" in kodgate("project", "show", "1")[1].splitlines()


@pytest.mark.parametrize(("threads", "well"), [(1, False), (4, True)])
def test_doctor_wants_threads_for_a_provider(
    guard: Guard, captcha: Captcha, tmp_path: Path, threads: int, well: bool
) -> None:
    site = guard("turnstile")
    settings = site.world.settings.model_copy(update={"web_threads": threads})
    [found] = [finding for finding in examine(settings) if finding.subject.startswith("challenge")]
    assert found.well is well
    assert ("WEB_THREADS" in found.text) is not well
    assert captcha.asked == []
    site.set(challenge_provider="altcha")
    assert not [finding for finding in examine(settings) if finding.subject.startswith("challenge")]


def test_an_accounts_site_passes_the_header_on(guarded: Servers, tmp_path: Path) -> None:
    with hosted_by(guarded, tmp_path) as site:
        body = {"to": new_phone()}
        refused = post(site, "/session/create", body)
        assert (refused.status_code, refused.json()["sys_message"]) == (403, "ERROR_CHALLENGE")
        assert refused.json()["error_params"]["provider"] == "altcha"
        token = solve(fetched(guarded))
        assert post(site, "/session/create", body, **{"x-challenge-token": token}).status_code == 200
        assert site.http.get(f"{site.web}/session/challenge", headers=PUBLIC).status_code == 404
        settings = site.http.get(f"{site.web}/session/settings", headers=PUBLIC).json()
        assert settings["challenge"] == {"enabled": True, "api_key": None, "provider": "altcha"}
