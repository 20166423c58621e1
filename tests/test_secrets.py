"""Keys, seals and tokens: what a rotation keeps, and what a thief can't use."""

import re
import string
from pathlib import Path

import msgspec
import pytest

from gateway.errors import SessionExpired
from gateway.keyring import Destinations, Keyring, Unsealable
from gateway.settings import DEVELOPMENT_SECRET
from gateway.store import StoreError
from gateway.tokens import InvalidToken, Tokens, read_payload, write_payload
from tests.databases import dump, lose_power
from tests.leaks import leaks
from tests.servers import PUBLIC, SECRET, Servers, payload, until
from tests.world import TestClock, make_world, new_phone

OLD, NEW = "o" * 40, "n" * 40
SESSION = "01K8N1VMPN0EE389K72YW0CBM2"


class Note(msgspec.Struct):
    text: str


def test_what_is_sealed_opens_only_beside_its_session() -> None:
    ring = Keyring([OLD])
    sealed = ring.seal("+79522966236", SESSION)
    assert b"7952" not in sealed
    assert ring.open(sealed, SESSION) == "+79522966236"
    with pytest.raises(Unsealable):
        ring.open(sealed, SESSION[:-1] + "X")
    with pytest.raises(Unsealable):
        ring.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), SESSION)


def test_a_new_first_key_opens_what_the_old_one_sealed() -> None:
    sealed = Keyring([OLD]).seal("ann@example.com", SESSION)
    assert Keyring([NEW, OLD]).open(sealed, SESSION) == "ann@example.com"
    with pytest.raises(Unsealable):
        Keyring([NEW]).open(sealed, SESSION)


def test_destinations_are_told_apart_by_project_and_pepper() -> None:
    one = Destinations(b"a" * 32)
    assert one.hash(1, "+79522966236") == one.hash(1, "+79522966236")
    hashes = {
        one.hash(1, "+79522966236"),
        one.hash(2, "+79522966236"),
        Destinations(b"b" * 32).hash(1, "+79522966236"),
    }
    assert len(hashes) == 3


def test_a_token_says_what_was_signed_for_its_purpose_and_time() -> None:
    clock = TestClock()
    tokens = Tokens(Keyring([OLD]), "one", Note, 60, clock)
    token = tokens.sign(Note("hello"))
    assert tokens.read(token) == (Note("hello"), clock.now)
    rotated = Tokens(Keyring([NEW, OLD]), "one", Note, 60, clock)
    assert rotated.read(token)[0] == Note("hello")
    for stranger in (
        Tokens(Keyring([OLD]), "two", Note, 60, clock),
        Tokens(Keyring([NEW]), "one", Note, 60, clock),
    ):
        with pytest.raises(InvalidToken):
            stranger.read(token)
    clock.pass_seconds(61)
    with pytest.raises(InvalidToken):
        tokens.read(token)


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "é.b.c", "x" * 5000, "\x00", "a.b.c.d.e"])
def test_nonsense_is_no_token(token: str) -> None:
    with pytest.raises(InvalidToken):
        Tokens(Keyring([OLD]), "one", Note, 60, TestClock()).read(token)


def test_a_changed_token_is_no_token() -> None:
    tokens = Tokens(Keyring([OLD]), "one", Note, 60, TestClock())
    token = tokens.sign(Note("hello"))
    changed = {
        token[:place] + letter + token[place + kept :]
        for place in range(len(token))
        for letter in ("A", "B", token[place].swapcase(), "!", "=", "\n", "é")
        for kept in (0, 1)
    }
    last = {
        token[:-1] + letter for letter in string.ascii_letters + string.digits + "-_"
    }  # bits that base64 drops
    for wrong in (changed | last | {token + "=", token.replace("-", "+").replace("_", "/") + "="}) - {token}:
        with pytest.raises(InvalidToken):
            tokens.read(wrong)


def test_a_deep_link_fits_telegram_and_can_not_be_forged() -> None:
    ring = Keyring([OLD])
    payload = write_payload(ring, SESSION)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", payload)
    assert read_payload(ring, payload) == SESSION
    assert read_payload(Keyring([NEW, OLD]), payload) == SESSION
    spellings = {payload[:-1] + letter for letter in string.ascii_letters + string.digits + "-_"} - {payload}
    for wrong in (
        *spellings,
        "",
        SESSION,
        payload[:-2],
        payload + "A",
        payload[:10] + "Z" + payload[11:],
        "ё" * 48,
        "A" * 48,
    ):
        with pytest.raises(InvalidToken):
            read_payload(ring, wrong)


@pytest.mark.usefixtures("database")
def test_a_rotation_loses_no_session_code_activation_or_token(tmp_path: Path) -> None:
    phone = new_phone()
    before = make_world(tmp_path, secret_keys=(OLD,))
    before.activate(phone)
    live = before.create(phone)
    code = before.code_of(live.session_id)

    after = make_world(tmp_path, before.clock, secret_keys=(NEW, OLD))
    again = after.create(phone)
    assert again.session_id == live.session_id
    assert again.channels[0].is_active
    token = after.gateway.check(after.caller(), live.session_id, code).verify_token
    assert after.gateway.verify(after.caller("sk_development"), token).phone == phone

    later = make_world(tmp_path, before.clock, secret_keys=(NEW,))
    assert later.create(new_phone()).session_id
    assert later.create(phone).channels[0].is_active


@pytest.mark.usefixtures("database")
def test_a_bot_token_outlives_the_key_that_sealed_it(tmp_path: Path) -> None:
    before = make_world(tmp_path, secret_keys=(OLD,)).gateway.projects
    [project] = before._store.projects()
    before.set_bot(project, "42:token", 42)
    for keys in ((NEW, OLD), (NEW,)):
        projects = make_world(tmp_path, secret_keys=keys).gateway.projects
        renewed = projects.by_id(project.id)
        assert renewed
        assert projects.bot_token(renewed) == "42:token"


@pytest.mark.usefixtures("database")
def test_losing_every_key_is_said_in_one_line(tmp_path: Path) -> None:
    make_world(tmp_path, secret_keys=(OLD,))
    with pytest.raises(StoreError, match="SECRET_KEYS"):
        make_world(tmp_path, secret_keys=(NEW,))


@pytest.mark.usefixtures("database")
def test_a_stolen_database_gives_away_no_code_phone_email_key_or_token(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    phone, email = new_phone(), "somebody.special@example.com"
    world.activate(phone)
    sessions = [world.create(phone, channel=None), world.create(email)]
    codes = [world.code_of(session.session_id) for session in sessions]
    token = world.gateway.check(world.caller(), sessions[0].session_id, codes[0]).verify_token
    world.gateway.verify(world.caller("sk_development"), token)

    stolen = dump(world.settings.database_url)
    for secret in (phone, phone[1:], email, *codes, "pk_development", "sk_development", DEVELOPMENT_SECRET, token):
        assert secret not in stolen
        assert secret.encode().hex() not in stolen.lower()


@pytest.mark.usefixtures("database")
def test_a_token_of_before_the_boot_is_void(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    session = world.create(new_phone())
    token = world.gateway.check(world.caller(), session.session_id, world.code_of(session.session_id)).verify_token
    lose_power(world.gateway.store, world.clock.now + 5000)
    with pytest.raises(SessionExpired):
        world.gateway.verify(world.caller("sk_development"), token)


def test_nothing_secret_is_in_what_a_broad_run_of_every_process_wrote(tmp_path: Path) -> None:
    """Logins by every way, refusals of every kind, a provider that fails and a defect's way out, at DEBUG."""
    with Servers(tmp_path, LOG_LEVEL="DEBUG") as run:
        phones, email = [new_phone() for _ in range(4)], "somebody.special@example.com"
        person = run.person(phones[0])
        sessions = [run.create(phones[0], "telegram"), run.create(phones[1], "sms"), run.create(email, "email")]
        link = payload(run.channel(sessions[0]["session_id"]))
        person.does("start", payload=link)
        person.hears("")
        person.does("contact")
        codes = [run.code_of(session["session_id"]) for session in sessions]
        person.hears(codes[0])
        live = run.live_url(sessions[1]["session_id"])
        with run.http.stream("GET", live):
            pass
        tokens = []
        for session, code in zip(sessions, codes, strict=True):
            wrong = f"{(int(code) + 1) % 10**6:06d}"
            assert run.check(session["session_id"], wrong).status_code == 422
            token = run.check(session["session_id"], code).json()["verify_token"]
            for _ in range(2):  # the second is refused
                run.http.post(f"{run.web}/session/verify", json={"verify_token": token}, headers=SECRET)
            tokens.append(token)
        with run.fault(method="inbox", status=500, times=2):
            run.create(phones[2], "sms")
            until(lambda: run.letters(phones[2]), "the letter comes")
        sent = run.http.post(
            f"{run.web}/manual/send", json={"to": phones[3], "channel": "sms", "code": "918273"}, headers=SECRET
        )
        assert sent.status_code == 200
        for secret in (phones[0], email, codes[0], tokens[0], "sk_development"):  # where they don't belong
            run.http.post(f"{run.web}/session/create", json={"to": phones[1], "type": secret}, headers=PUBLIC)
            run.http.get(f"{run.web}/session/channels", params={"session_id": secret}, headers=PUBLIC)
            run.http.get(f"{run.web}/widget/", params={"w": secret})
        run.http.get(f"{run.web}/session/{phones[0]}/{email}", headers=PUBLIC)
        until(lambda: "918273" in str(run.letters(phones[3])), "the server's own message comes")
    written = {name: run.log(name) for name in run.names}
    secrets = [*phones, *(phone[1:] for phone in phones), email, *codes, *tokens, "918273", link]
    secrets += ["sk_development", "pk_development", DEVELOPMENT_SECRET, live.rpartition("/")[2]]
    assert "ERROR_" in written["web"]
    for name in ("web", "bot"):
        for secret in secrets:
            assert secret not in written[name], f"{name} wrote {secret}"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("sent to +79522966236", "a phone"),
        ("sent to 79522966236", "a phone"),
        ("to ann.lee@example.com", "an email"),
        ("key sk_development", "an API key"),
        ("GET /bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawx/getMe", "a bot's token"),
        ("POST /bot1:sandbox/getMe", "a bot's token"),
        (f"/start {write_payload(Keyring([OLD]), SESSION)}", "a deep link"),
        (
            f"/live/{Tokens(Keyring([OLD]), 'live', Note, 60, TestClock()).sign(Note('hello, how are you'))}",
            "a signed token",
        ),
        (f"aes256:{'0' * 32}:{'1' * 32}:01234567", "an encrypted code"),
        ("smtp://login:hunter2@localhost", "a password in a URL"),
        (DEVELOPMENT_SECRET, "the secret of development"),
        ("Shop: 482173 is your code", "a code"),
    ],
)
def test_what_the_run_is_searched_for_is_found(line: str, kind: str) -> None:
    found = list(leaks(f"2026-11-26 17:38:55,482173 web INFO x: first\n{line}\n", {"482173"}))
    assert [one.partition(":")[0] for one in found] == [kind]


def test_a_process_that_wrote_a_code_fails_the_test_that_ran_it(tmp_path: Path) -> None:
    servers = Servers(tmp_path, ("web",))
    code = servers.code_of(SESSION)
    (tmp_path / "web.log").write_text(f"2026-11-26 17:38:55,482 web INFO x: sent {code}\n")
    with pytest.raises(AssertionError, match="web wrote"):
        servers.__exit__()
    (tmp_path / "web.log").write_text(f"2026-11-26 17:38:55,482 web INFO x: sent {SESSION}\n")
    servers.__exit__()
