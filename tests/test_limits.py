"""Limits at their defaults: counted exactly, told truthfully, and what an attacker gets out of them."""

import asyncio
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from bench.limits import NO_LIMITS_HERE
from bot.worker import Worker
from gateway import errors
from gateway.contact import parse_contact
from gateway.limits.rate import Rate, read_rate
from gateway.limits.subjects import address_subject, country_prefix
from gateway.settings import Settings
from gateway.verbs import Caller
from tests.databases import execute
from tests.servers import PUBLIC, SECRET, Servers
from tests.test_races import together
from tests.world import World, make_world, new_phone
from web.address import Visitors

DAY = 86_400
ANYBODY = "198.51.100.7"
DEFAULTS = {name: str(Settings.model_fields[name.lower()].default) for name in NO_LIMITS_HERE}


def caller(world: World, address: str = "", key: str = "pk_development", browser_key: str = "") -> Caller:
    return msgspec.structs.replace(world.caller(key), address=address, browser_key=browser_key)


def begin(world: World, to: str, who: Caller | None = None, **options: Any) -> str:
    return world.gateway.create(who or world.caller(), parse_contact(to), **options).session_id


def refused(world: World, to: str, who: Caller | None = None) -> errors.TooSoon:
    with pytest.raises(errors.TooSoon) as refusal:
        begin(world, to, who)
    return refusal.value


def log_in(world: World, to: str, who: Caller | None = None) -> None:
    """So that the next `create` begins another session."""
    session_id = begin(world, to, who, send=False)
    world.gateway.check(who or world.caller(), session_id, world.code_of(session_id))


def many(world: World, count: int, who: Caller) -> None:
    for _ in range(count):
        begin(world, new_phone(), who, send=False)


def without_challenge(world: World) -> None:
    project = world.caller().project
    changed = msgspec.structs.replace(project.settings, challenge="off")
    world.gateway.store.change_project(project.id, changed)
    world.gateway.projects.forget()


# Windows, blocks, and what is told


def test_a_destination_takes_eight_then_one_in_fifteen_minutes(world: World) -> None:
    phone = new_phone()
    for _ in range(8):
        log_in(world, phone)
    until_next = refused(world, phone)
    assert (until_next.status, until_next.sys_message) == (429, "ERROR_MESSAGE_ATTEMPT")
    assert begin(world, new_phone()), "another destination"
    world.clock.now += until_next.timeout * 1000 - 1
    assert refused(world, phone).timeout == 1
    world.clock.now += 1
    assert begin(world, phone), "retry-after was true"


@pytest.mark.usefixtures("database")
def test_who_comes_back_too_often_is_blocked_and_each_time_for_longer(tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_sends_address="60/60", limit_sends_address_soft="60/60")
    without_challenge(world)
    who, waits, names = caller(world, ANYBODY), [], []
    for _ in range(9):
        with pytest.raises(errors.TooSoon) as refusal:
            many(world, 100, who)
        waits.append(refusal.value.timeout)
        names.append((refusal.value.status, refusal.value.sys_message))
        assert refused(world, new_phone(), who).timeout == refusal.value.timeout, "asking again costs nothing"
        world.clock.pass_seconds(refusal.value.timeout)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert names == [(429, "ERROR_MESSAGE_ATTEMPT"), *[(423, "ERROR_BLOCKED")] * 8]
    world.clock.pass_seconds(DAY + 1)
    with pytest.raises(errors.TooOften) as refusal:
        many(world, 100, who)
    assert refusal.value.timeout == 60, "a day's calm is forgiven"


@pytest.mark.usefixtures("database")
def test_a_refusal_uses_up_nothing_of_the_other_limits(tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_sends_browser="2/3600", limit_sends_project="8/3600")
    without_challenge(world)
    greedy = caller(world, ANYBODY, browser_key="greedy")
    many(world, 2, greedy)
    for _ in range(50):
        refused(world, new_phone(), greedy)
    many(world, 6, caller(world, ANYBODY))
    assert refused(world, new_phone(), caller(world, ANYBODY)).status == 429


def test_asking_for_a_session_that_lives_is_free(world: World) -> None:
    phone = new_phone()
    assert len({begin(world, phone) for _ in range(100)}) == 1


@pytest.mark.usefixtures("database")
def test_a_country_has_its_own_limit(tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_sends_prefix="3/3600")
    without_challenge(world)
    many(world, 3, world.caller())
    assert refused(world, new_phone()).sys_message == "ERROR_MESSAGE_ATTEMPT"
    assert begin(world, "+447400123456")
    assert begin(world, "ann@example.com")
    assert begin(world, "+77012345678"), "Kazakhstan shares a calling code with Russia, not its limit"


@pytest.mark.parametrize(
    ("phone", "prefix"),
    [("+79522966236", "+79"), ("+77012345678", "+77"), ("+447400123456", "+44"), ("+18765551234", "+1876")],
)
def test_prefixes(phone: str, prefix: str) -> None:
    assert country_prefix(phone) == prefix


def test_a_hundred_behind_one_address_go_on_with_a_challenge(world: World) -> None:
    behind_nat = caller(world, ANYBODY)
    many(world, 20, behind_nat)
    with pytest.raises(errors.ChallengeRequired) as refusal:
        begin(world, new_phone(), behind_nat)
    assert refusal.value.params["provider"] == "altcha"
    assert begin(world, new_phone(), caller(world, "198.51.100.8")), "others are not asked"
    without_challenge(world)
    unasked = caller(world, ANYBODY)
    many(world, 980, unasked)
    assert refused(world, new_phone(), unasked).status == 429, "the hard limit"


def test_who_waits_instead_of_solving_gets_no_more_than_the_soft_limit(world: World) -> None:
    who, begun, end = caller(world, ANYBODY), 0, world.clock.now + 3600 * 1000
    while world.clock.now < end:
        try:
            begin(world, new_phone(), who, send=False)
            begun += 1
        except errors.ChallengeRequired:
            world.clock.pass_seconds(3.6)
    assert 20 <= begun <= 40, "20 at once and 20 an hour, however patient"


def test_a_sites_server_is_under_no_limit_of_addresses_but_of_destinations(world: World) -> None:
    site = caller(world, ANYBODY, "sk_development")
    many(world, 1100, site)
    phone = new_phone()
    for _ in range(8):
        log_in(world, phone, site)
    refused(world, phone, site)


@pytest.mark.usefixtures("database")
def test_an_ipv6_network_is_one_address(tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_sends_address="3/3600", limit_sends_address_soft="3/3600")
    for host in range(3):
        begin(world, new_phone(), caller(world, f"2001:db8:1:2:{host}::1"))
    refused(world, new_phone(), caller(world, "2001:db8:1:2:ffff::1"))
    assert begin(world, new_phone(), caller(world, "2001:db8:1:3::1"))


def test_subjects_of_addresses() -> None:
    assert address_subject("::ffff:198.51.100.7") == address_subject("198.51.100.7") == bytes([198, 51, 100, 7])
    assert len(address_subject("2001:db8::1")) == 8
    assert address_subject("unix:") == address_subject("") == b""


@pytest.mark.usefixtures("database")
def test_activations_of_a_chat_are_limited(tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_activations_chat="3/3600")
    for _ in range(3):
        world.activate(new_phone(), chat_id=7)
    with pytest.raises(errors.TooOften) as refusal:
        world.activate(new_phone(), chat_id=7)
    assert world.activate(new_phone(), chat_id=8) == 0
    world.clock.pass_seconds(refusal.value.timeout)
    assert world.activate(new_phone(), chat_id=7) == 0


@pytest.mark.usefixtures("database")
def test_limits_off_is_off(tmp_path: Path) -> None:
    world = make_world(tmp_path, limits="off", limit_sends_destination="1/3600", limit_guesses="1/3600")
    phone = new_phone()
    for _ in range(20):
        session_id = begin(world, phone, send=False)
        for _ in range(5):
            with pytest.raises(errors.WrongCode):
                world.gateway.check(world.caller(), session_id, world.wrong_code(session_id))


def test_a_refusal_does_not_tell_whether_a_phone_is_known(world: World) -> None:
    known, unknown = new_phone(), new_phone()
    world.activate(known)
    session_id = begin(world, known)
    world.gateway.check(world.caller(), session_id, world.code_of(session_id))
    world.clock.pass_seconds(DAY)
    said = []
    for phone in (known, unknown):
        for _ in range(8):
            log_in(world, phone)
        told = refused(world, phone)
        said.append((told.status, told.sys_message, dict(told.params), told.text("en")))
        world.clock.pass_seconds(DAY)
    assert said[0] == said[1]


def test_when_to_come_back_is_said_in_the_unit_that_people_count_in() -> None:
    texts = [errors.TooOften(seconds).text("en") for seconds in (59, 600, 7201)]
    assert [text.partition("Try again in ")[2] for text in texts] == ["59 s.", "10 min.", "3 h."]
    assert errors.DestinationBlocked(3600).text("en") == "Too many wrong codes. Try again in 60 min."


@pytest.mark.parametrize("text", ["", "8", "0/60", "8/0", "-1/60", "8/60/1", "x/60", "٣/60", "60001/60"])
def test_a_rate_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        read_rate(text)


def test_a_rate_is_written_as_it_is_read() -> None:
    assert str(read_rate("8/7200")) == "8/7200"
    assert Rate(8, 7200).cost == 900_000


# Guessing


class Attacker:
    """Knows a phone, has any number of addresses, and guesses as fast as it is let; counts what was compared."""

    def __init__(self, world: World, phone: str, attempts: int, *, legacy: bool = False) -> None:
        self.world, self.phone, self.attempts, self.legacy = world, phone, attempts, legacy
        self.compared: list[int] = []
        self.addresses = (f"10.{a}.{b}.1" for a, b in itertools.product(range(256), range(256)))

    def goes_on(self) -> float:
        """A session's guesses; how many seconds it is told, or chooses, to wait."""
        who = caller(self.world, next(self.addresses))
        try:
            session_id = begin(self.world, self.phone, who, send=False, legacy=self.legacy)
            wrong = "0000" if self.legacy else self.world.wrong_code(session_id)
            for _ in range(self.attempts):
                self.guess(who, session_id, wrong)
        except errors.TooSoon as refusal:
            return refusal.timeout
        except errors.SessionExpired:
            return 1
        return 0 if self.attempts >= 5 else 180

    def guess(self, who: Caller, session_id: str, wrong: str) -> None:
        try:
            self.world.gateway.check(who, session_id, wrong)
        except errors.WrongCode:
            self.compared.append(self.world.clock.now)

    def most_in_a_day(self) -> int:
        return max(sum(1 for at in self.compared if begun <= at < begun + DAY * 1000) for begun in self.compared)


@pytest.mark.parametrize("attempts", [1, 4, 5, 50], ids=lambda count: f"{count} a session")
def test_in_no_day_are_more_than_a_hundred_guesses_compared(world: World, attempts: int) -> None:
    attacker = Attacker(world, new_phone(), attempts)
    end = world.clock.now + 2 * DAY * 1000
    while world.clock.now < end:
        world.clock.pass_seconds(max(attacker.goes_on(), 0.001))
    assert 40 <= attacker.most_in_a_day() <= 100


def test_a_short_code_takes_fewer_guesses(world: World) -> None:
    attacker = Attacker(world, new_phone(), 5, legacy=True)
    end = world.clock.now + 2 * DAY * 1000
    while world.clock.now < end:
        world.clock.pass_seconds(max(attacker.goes_on(), 0.001))
    assert 5 <= attacker.most_in_a_day() <= 10


def test_whoever_logged_in_from_there_before_is_not_shut_out_by_an_attacker(world: World) -> None:
    phone, home = new_phone(), "203.0.113.9"
    owner, other_place = caller(world, home), caller(world, "203.0.113.10")
    session_id = begin(world, phone, owner)
    world.gateway.check(owner, session_id, world.code_of(session_id))
    world.clock.pass_seconds(20 * DAY)
    attacker = Attacker(world, phone, 5)
    logins = 0
    for minute in range(24 * 60):
        attacker.goes_on()
        if minute % 180 == 90:
            session_id = begin(world, phone, owner)
            assert world.gateway.check(owner, session_id, world.code_of(session_id)).verify_token
            logins += 1
        world.clock.pass_seconds(60)
    assert logins == 8
    while len(attacker.compared) < 40 or attacker.goes_on() < 60:
        world.clock.pass_seconds(60)
        attacker.goes_on()
    assert refused(world, phone, other_place).sys_message in ("ERROR_PHONE_BLOCKED", "ERROR_MESSAGE_ATTEMPT")
    assert attacker.most_in_a_day() <= 100


def test_guesses_at_many_phones_end_at_the_address(world: World) -> None:
    who = caller(world, ANYBODY)
    without_challenge(world)
    compared = Counter[bool]()
    for _ in range(100):
        session_id = begin(world, new_phone(), world.caller(), send=False)
        for _ in range(4):
            with pytest.raises(errors.GatewayError) as refusal:
                world.gateway.check(who, session_id, world.wrong_code(session_id))
            compared[isinstance(refusal.value, errors.WrongCode)] += 1
    assert compared == {True: 300, False: 100}
    with pytest.raises(errors.CallerBlocked if refusal.value.status == 423 else errors.TooOften):
        world.gateway.check(who, session_id, world.code_of(session_id))  # nor is a right one compared
    assert world.gateway.check(world.caller(), session_id, world.code_of(session_id)).verify_token


def test_guesses_at_many_phones_from_many_addresses_stop_nobody_elses_login(world: World) -> None:
    """Nothing that all visitors share may be used up by codes that are not even compared."""
    session_id = begin(world, new_phone(), send=False)
    world.gateway.check(world.caller(), session_id, world.code_of(session_id))
    for number in range(21_000):
        with pytest.raises(errors.SessionExpired):
            world.gateway.check(caller(world, f"10.1.{number % 100}.1"), session_id, "000000")
    with pytest.raises(errors.SessionExpired):
        world.gateway.check(caller(world, key="sk_development"), session_id, "000000")
    log_in(world, new_phone(), caller(world, ANYBODY))


# What is forgotten


@pytest.mark.usefixtures("database")
def test_the_purge_forgets_what_no_longer_counts_and_nothing_else(tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_guesses="10/86400", pause_seconds=0)
    without_challenge(world)
    store, phone = world.gateway.store, new_phone()
    many(world, 300, world.caller())
    attacker = Attacker(world, phone, 5)
    while not attacker.goes_on():
        pass
    assert len(attacker.compared) == 10
    told = refused(world, phone).timeout
    for _ in range(20):
        store.purge(world.clock.now + 1, 500)
    assert refused(world, phone).timeout == told
    world.clock.pass_seconds(2 * DAY)
    for _ in range(20):
        store.purge(world.clock.now, 500)
    assert execute(world.settings.database_url, "SELECT count(*) FROM usage") == [(0,)]


@pytest.mark.usefixtures("database")
def test_what_is_kept_for_an_hour_makes_no_token_good_again(tmp_path: Path) -> None:
    world = make_world(tmp_path, keep_hours=1)
    project = world.caller().project
    chosen = msgspec.structs.replace(project.settings, session_seconds=3600)
    world.gateway.store.change_project(project.id, chosen)
    world.gateway.projects.forget()
    session_id = begin(world, new_phone())
    world.clock.pass_seconds(3590)
    token = world.gateway.check(world.caller(), session_id, world.code_of(session_id)).verify_token
    verifier = world.caller("sk_development")
    world.gateway.verify(verifier, token)
    world.clock.pass_seconds(60)
    asyncio.run(_purge(world))
    assert world.gateway.store.session(None, session_id) is None
    with pytest.raises(errors.SessionExpired):
        world.gateway.verify(verifier, token)


async def _purge(world: World) -> None:
    await Worker(world.settings, world.gateway)._purge_once()


# Real processes


def test_of_fifty_at_once_the_limit_passes_exactly(tmp_path: Path) -> None:
    limit = {**DEFAULTS, "LIMIT_SENDS_ADDRESS_SOFT": "20/3600", "LIMIT_SENDS_ADDRESS": "20/3600"}
    with Servers(tmp_path, ("web",), **limit, WEB_WORKERS="2") as servers:
        phones = [new_phone() for _ in range(50)]

        def post(client: httpx.Client, number: int) -> httpx.Response:
            body = {"to": phones[number], "type": "sms"}
            forged = {"x-forwarded-for": f"10.0.0.{number}", "forwarded": f"for=10.0.0.{number}"}
            return client.post(f"{servers.web}/session/create", json=body, headers={**PUBLIC, **forged})

        answers = together(50, post)
        assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 30}
        for answer in answers:
            if answer.status_code == 429:
                assert answer.json()["error_params"]["timeout"] == int(answer.headers["retry-after"]) > 0
        site = servers.http.post(f"{servers.web}/session/create", json={"to": new_phone()}, headers=SECRET)
        assert site.status_code == 200
        page = servers.http.get(f"{servers.web}/widget/?key=pk_development")
        token = page.text.partition('name="w" value="')[2].partition('"')[0]
        answer = servers.http.post(f"{servers.web}/widget/start", data={"w": token, "to": new_phone()})
        assert answer.status_code == 429
        assert "Try again in " in answer.text
        assert int(answer.headers["retry-after"]) > 0


def test_the_widget_asks_a_busy_address_for_the_challenge_on_the_page_itself(tmp_path: Path) -> None:
    with Servers(tmp_path, ("web",), **{**DEFAULTS, "LIMIT_SENDS_ADDRESS_SOFT": "1/3600"}) as servers:
        seen = []
        for _ in range(2):
            page = servers.http.get(f"{servers.web}/widget/?key=pk_development")
            token = page.text.partition('name="w" value="')[2].partition('"')[0]
            answer = servers.http.post(f"{servers.web}/widget/start", data={"w": token, "to": new_phone()})
            seen.append((answer.status_code, "data-challenge" in answer.text))
        assert seen == [(303, False), (403, True)]


def test_behind_a_trusted_proxy_its_last_hop_counts_and_no_forged_one(tmp_path: Path) -> None:
    limit = {**DEFAULTS, "LIMIT_SENDS_ADDRESS_SOFT": "2/3600", "LIMIT_SENDS_ADDRESS": "2/3600"}
    with Servers(tmp_path, ("web",), **limit, TRUSTED_PROXIES="127.0.0.1", ADDRESS_HEADER="Clientaddress") as here:

        def status(number: int, visitor: str) -> int:
            forged = [("clientaddress", f"10.0.0.{number}"), ("X_Forwarded_For", f"10.0.0.{number}")]
            headers = [*PUBLIC.items(), *forged, ("clientaddress", f"10.9.9.{number}, {visitor}")]
            body = {"to": new_phone()}
            return here.http.post(f"{here.web}/session/create", json=body, headers=headers).status_code

        assert [status(number, "198.51.100.1") for number in range(4)] == [200, 200, 429, 429]
        assert status(9, "198.51.100.2") == 200


def visitors(trusted: str) -> Visitors:
    return Visitors(Settings(_env_file=None, trusted_proxies=trusted))


@pytest.mark.parametrize(
    ("trusted", "remote", "header", "address"),
    [
        ("", "198.51.100.1", "1.2.3.4", "198.51.100.1"),
        ("10.0.0.0/8", "198.51.100.1", "1.2.3.4", "198.51.100.1"),
        ("10.0.0.0/8", "10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.0/8", "10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.0/8", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.0/8", "10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.0/8,::1", "::1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.1", ", ".join(["1.1.1.1"] * 500), "1.1.1.1"),
    ],
)
def test_the_visitor_is_the_nearest_hop_that_is_not_ours(
    trusted: str, remote: str, header: str, address: str
) -> None:
    assert visitors(trusted).address({"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": header}) == address


def test_a_soft_limit_above_the_hard_one_is_refused(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "migrate"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "LIMIT_SENDS_ADDRESS_SOFT": "5000/3600"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "LIMIT_SENDS_ADDRESS_SOFT" in ended.stderr) == (2, True)
