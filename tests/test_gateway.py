"""The verbs on our own engine, with time turned by hand."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import errors
from gateway.aes256 import code_key, encode_code
from gateway.bootstrap import introduce_bot
from gateway.channels import Channel
from gateway.codes import DIGITS, derive_code
from gateway.contact import parse_contact
from gateway.projects import KeyPair, ProjectSettings, change_settings
from gateway.settings import SANDBOX_BOT
from gateway.tokens import write_payload
from tests.databases import execute
from tests.delivering import claim, finish
from tests.world import BOT_ID, World, make_world, new_phone

SECRET = "sk_development"


def telegram(world: World, session_id: str) -> tuple[bool, int]:
    channel = world.gateway.channels(world.caller(), session_id)[0]
    assert channel.type is Channel.TELEGRAM
    return channel.is_active, channel.timeout


def test_a_session_comes_back_for_three_minutes(world: World) -> None:
    phone = new_phone()
    first = world.create(phone, send=False)
    world.clock.pass_seconds(179)
    assert world.create(phone, send=False).session_id == first.session_id
    world.clock.pass_seconds(1)
    assert world.create(phone, send=False).session_id != first.session_id


def test_creating_again_sends_nothing_twice(world: World) -> None:
    phone = new_phone()
    first = world.create(phone, channel=Channel.SMS)
    again = world.create(phone)
    assert (again.session_id, again.sent_to) == (first.session_id, Channel.SMS)
    assert len(claim(world.gateway.store, world.clock.now, 1000, list(Channel), 10)) == 1


def test_nothing_is_queued_where_nothing_shall_be_sent(world: World) -> None:
    created = world.create(new_phone(), send=False)
    assert created.sent_to == "none"
    assert [channel.timeout for channel in created.channels] == [0, 0, 0, 0]
    assert claim(world.gateway.store, world.clock.now, 1000, list(Channel), 10) == []


def test_a_phone_lists_the_phones_channels_and_an_email_email(world: World) -> None:
    phones = [channel.type for channel in world.create(new_phone()).channels]
    assert phones == ["telegram", "whatsapp", "viber", "sms"]
    assert [channel.type for channel in world.create("ann@example.com").channels] == ["email"]
    assert len(world.gateway.channels(world.caller())) == 5


def test_a_channel_rests_for_a_minute_and_the_others_do_not(world: World) -> None:
    created = world.create(new_phone(), channel=Channel.SMS)
    world.clock.pass_seconds(0.5)
    with pytest.raises(errors.TooSoon) as refusal:
        world.gateway.send(world.caller(), created.session_id, Channel.SMS)
    assert refusal.value.timeout == 60
    assert world.gateway.send(world.caller(), created.session_id, Channel.WHATSAPP).channel.timeout == 60
    world.clock.pass_seconds(59.5)
    assert world.gateway.send(world.caller(), created.session_id, Channel.SMS).channel.timeout == 60


def test_a_failed_channel_may_be_tried_again_at_once(world: World) -> None:
    from gateway.store import Outcome

    created = world.create(new_phone(), channel=Channel.SMS)
    [message] = claim(world.gateway.store, world.clock.now, 1000, list(Channel), 10)
    finish(world.gateway.store, [Outcome(message.id, "failed")], world.clock.now)
    assert world.gateway.send(world.caller(), created.session_id, Channel.SMS).channel.timeout == 60


def test_a_code_for_an_inactive_telegram_is_parked_and_goes_out_with_the_activation(world: World) -> None:
    phone = new_phone()
    created = world.create(phone, channel=Channel.TELEGRAM)
    assert created.sent_to == "telegram"
    assert telegram(world, created.session_id) == (False, 60)
    store = world.gateway.store
    assert claim(store, world.clock.now, 1000, list(Channel), 10) == []
    world.clock.pass_seconds(20)
    again = world.gateway.send(world.caller(), created.session_id, Channel.TELEGRAM).channel
    assert (again.is_active, again.timeout) == (False, 40)

    assert world.activate(phone, chat_id=77) == 1
    again = world.gateway.send(world.caller(), created.session_id, Channel.TELEGRAM).channel
    assert (again.is_active, again.timeout) == (True, 60)
    [message] = claim(store, world.clock.now, 1000, list(Channel), 10)
    assert (message.channel, message.chat_id) == ("telegram", 77)
    assert world.activate(phone, chat_id=77) == 0
    assert claim(store, world.clock.now, 1000, list(Channel), 10) == []


def test_a_parked_code_that_waited_for_a_minute_keeps_waiting(world: World) -> None:
    phone = new_phone()
    created = world.create(phone, channel=Channel.TELEGRAM)
    world.clock.pass_seconds(61)
    assert telegram(world, created.session_id) == (False, 0)
    assert world.gateway.send(world.caller(), created.session_id, Channel.TELEGRAM).channel.timeout == 60
    assert world.activate(phone) == 1


def test_the_default_is_the_channel_used_last_then_the_projects(world: World) -> None:
    phone = new_phone()
    assert world.create(phone).sent_to == "telegram"
    created = world.create(phone, channel=Channel.VIBER)
    world.gateway.check(world.caller(), created.session_id, world.code_of(created.session_id))
    assert world.create(phone).sent_to == "viber"


@pytest.mark.parametrize(
    ("to", "channel", "refusal"),
    [
        ("ann@example.com", Channel.SMS, errors.ChannelCannotReach),
        ("phone", Channel.EMAIL, errors.ChannelCannotReach),
    ],
)
def test_a_channel_that_can_not_reach_the_contact_is_refused(
    world: World, to: str, channel: Channel, refusal: type[Exception]
) -> None:
    to = new_phone() if to == "phone" else to
    with pytest.raises(refusal):
        world.create(to, channel=channel)
    created = world.create(to, send=False)
    with pytest.raises(refusal):
        world.gateway.send(world.caller(), created.session_id, channel)


def test_the_right_code_is_accepted_once(world: World) -> None:
    phone = new_phone()
    created = world.create(phone, channel=Channel.SMS)
    code = world.code_of(created.session_id)
    token = world.gateway.check(world.caller(), created.session_id, code).verify_token
    with pytest.raises(errors.SessionExpired):
        world.gateway.check(world.caller(), created.session_id, code)
    verified = world.gateway.verify(world.caller(SECRET), token)
    assert (verified.phone, verified.email, verified.channel) == (phone, None, "sms")
    assert (verified.to, verified.session_id) == (phone, created.session_id)
    with pytest.raises(errors.SessionExpired):
        world.gateway.verify(world.caller(SECRET), token)


def test_a_token_needs_the_secret_key_and_haste(world: World) -> None:
    created = world.create("ann@example.com")
    token = world.gateway.check(world.caller(), created.session_id, world.code_of(created.session_id)).verify_token
    with pytest.raises(errors.AccessDenied):
        world.gateway.verify(world.caller(), token)
    world.clock.pass_seconds(299)
    assert world.gateway.verify(world.caller(SECRET), token).email == "ann@example.com"
    created = world.create("ann@example.com")
    token = world.gateway.check(world.caller(), created.session_id, world.code_of(created.session_id)).verify_token
    world.clock.pass_seconds(302)
    with pytest.raises(errors.SessionExpired):
        world.gateway.verify(world.caller(SECRET), token)


def test_a_token_outlives_the_next_login_of_the_same_phone(world: World) -> None:
    phone = new_phone()
    first = world.create(phone)
    token = world.gateway.check(world.caller(), first.session_id, world.code_of(first.session_id)).verify_token
    assert world.create(phone).session_id != first.session_id
    assert world.gateway.verify(world.caller(SECRET), token).phone == phone


def test_wrong_codes_are_counted_and_the_last_one_closes_the_session(world: World) -> None:
    phone = new_phone()
    created = world.create(phone)
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(errors.WrongCode) as refusal:
            world.gateway.check(world.caller(), created.session_id, world.wrong_code(created.session_id, left + 1))
        assert refusal.value.count == left
    with pytest.raises(errors.SessionExpired):
        world.gateway.check(world.caller(), created.session_id, world.code_of(created.session_id))
    assert world.gateway.progress(world.caller(), created.session_id).state == "closed"


def test_the_next_session_waits_for_a_pause_that_grows(world: World) -> None:
    phone = new_phone()
    for pause in (30, 60, 120, 240):
        created = world.create(phone)
        for number in range(5):
            with pytest.raises(errors.WrongCode):
                world.gateway.check(
                    world.caller(), created.session_id, world.wrong_code(created.session_id, number + 1)
                )
        with pytest.raises(errors.DestinationBlocked) as refusal:
            world.create(phone)
        assert refusal.value.timeout == pause
        world.clock.pass_seconds(pause)
    created = world.create(phone)
    world.gateway.check(world.caller(), created.session_id, world.code_of(created.session_id))
    assert world.create(phone).session_id, "a right code ends the pauses"


def test_an_expired_session_is_over_for_every_verb(world: World) -> None:
    created = world.create(new_phone())
    code = world.code_of(created.session_id)
    world.clock.pass_seconds(180)
    for verb in (
        lambda: world.gateway.check(world.caller(), created.session_id, code),
        lambda: world.gateway.send(world.caller(), created.session_id, Channel.SMS),
        lambda: world.gateway.channels(world.caller(), created.session_id),
        lambda: world.gateway.settings(world.caller(), created.session_id),
        lambda: world.gateway.linked_session(BOT_ID, write_payload(world.gateway.keyring, created.session_id)),
    ):
        with pytest.raises(errors.SessionExpired):
            verb()
    assert world.gateway.progress(world.caller(), created.session_id).state == "expired"


def test_projects_are_worlds_apart(world: World) -> None:
    other = ProjectSettings(name="Other", bot_id=BOT_ID, bot_username=SANDBOX_BOT)
    made = world.gateway.store.add_project(other, world.clock.now)
    world.gateway.projects.set_keys(made.id, KeyPair("pk_other", "sk_other"), keep_seconds=0)
    phone = new_phone()
    ours = world.create(phone)
    world.activate(phone)
    stranger = world.caller("pk_other")
    theirs = world.gateway.create(stranger, parse_contact(phone))
    assert theirs.session_id != ours.session_id
    assert not theirs.channels[0].is_active
    code = world.code_of(ours.session_id)
    for verb in (
        lambda: world.gateway.check(stranger, ours.session_id, code),
        lambda: world.gateway.send(stranger, ours.session_id, Channel.SMS),
        lambda: world.gateway.channels(stranger, ours.session_id),
        lambda: world.gateway.progress(stranger, ours.session_id),
    ):
        with pytest.raises(errors.SessionExpired):
            verb()
    token = world.gateway.check(world.caller(), ours.session_id, code).verify_token
    with pytest.raises(errors.SessionExpired):
        world.gateway.verify(world.caller("sk_other"), token)
    assert world.gateway.verify(world.caller(SECRET), token).phone == phone


def test_telegram_is_offered_where_links_can_name_a_bot_that_is_at_work(tmp_path: Path) -> None:
    keys = ("s" * 40,)
    no_token = {"kodgate_env": "production", "public_url": "https://login.example.com"}

    def offered(**settings: Any) -> bool:
        world = make_world(tmp_path, secret_keys=keys, **settings)
        return Channel.TELEGRAM in [channel.type for channel in world.gateway.channels(world.caller())]

    store = make_world(tmp_path, secret_keys=keys).gateway.store
    [project] = store.projects()
    servers = msgspec.structs.replace(project.settings, bot_id=42, bot_username="shop_bot")
    store.change_project(project.id, servers)
    assert offered(telegram_bot_token="42:server")
    assert not offered(telegram_bot_token="43:server"), "these would be links of the former bot"
    assert not offered(**no_token)
    store.change_project(project.id, msgspec.structs.replace(servers, bot_username=""))
    assert not offered(telegram_bot_token="42:server"), "nobody has asked its name yet"
    own = msgspec.structs.replace(servers, bot_token="c2VhbGVk")
    store.change_project(project.id, own)
    assert offered(telegram_bot_token="43:server")
    assert offered(**no_token)
    store.change_project(project.id, msgspec.structs.replace(own, bot_username=""))
    assert not offered(telegram_bot_token="43:server")


def test_a_bot_introduces_itself_to_projects_as_they_are_by_now(world: World) -> None:
    """Those before them in its list may have had many chats to be handed over."""
    store = world.gateway.store
    [first] = store.projects()
    second = store.add_project(ProjectSettings(name="Second"), world.clock.now)
    store.change_project(first.id, msgspec.structs.replace(first.settings, name="Renamed"))
    store.change_project(second.id, msgspec.structs.replace(second.settings, bot_id=3, bot_token="c2VhbGVk"))
    introduce_bot(store, [first, second], 2, "servers_bot")
    told = [(one.settings.name, one.settings.bot_id, one.settings.bot_username) for one in store.projects()]
    assert told == [("Renamed", 2, "servers_bot"), ("Second", 3, "")]


def test_a_known_chat_that_comes_back_lets_its_code_go(world: World) -> None:
    phone = new_phone()
    world.activate(phone, chat_id=5)
    assert world.gateway.deactivate(BOT_ID, 5)
    assert not world.gateway.deactivate(BOT_ID, 5)
    created = world.create(phone, channel=Channel.TELEGRAM)
    assert telegram(world, created.session_id) == (False, 60)
    assert world.gateway.reactivate(BOT_ID, 5) == 1
    assert telegram(world, created.session_id)[0]
    assert world.gateway.reactivate(BOT_ID, 6) is None


def test_a_telegram_account_has_one_number(world: World) -> None:
    first, second = new_phone(), new_phone()
    world.activate(first, chat_id=5)
    world.activate(second, chat_id=5)
    assert not world.create(first).channels[0].is_active
    assert world.create(second).channels[0].is_active


def test_unknown_keys_open_nothing(world: World) -> None:
    for key in (None, "", "pk_", "sk_developmen", "\x00", "ключ"):
        with pytest.raises(errors.AccessDenied):
            world.gateway.authenticate(key)


def test_rotated_keys_work_on_for_a_while(world: World) -> None:
    project = world.caller().project
    world.gateway.projects.set_keys(project.id, KeyPair("pk_new", "sk_new"), keep_seconds=60)
    for key in ("pk_development", "sk_development", "pk_new", "sk_new"):
        assert world.gateway.authenticate(key) == (project, key.startswith("sk_"))
    world.clock.pass_seconds(60)
    with pytest.raises(errors.AccessDenied):
        world.gateway.authenticate("pk_development")
    assert world.gateway.authenticate("sk_new") == (project, True)


def test_a_callers_own_code_needs_the_secret_key_however_it_is_written(world: World) -> None:
    """Who sets a code can enter it: with the public key that would be everybody."""
    contact = parse_contact(new_phone())
    session_id = world.create(new_phone()).session_id
    for code in ("1234", encode_code("1234", code_key(SECRET)), "aes_256_cbc_" + "0" * 64):
        with pytest.raises(errors.AccessDenied):
            world.gateway.create(world.caller(), contact, Channel.SMS, code=code)
        with pytest.raises(errors.AccessDenied):
            world.gateway.send(world.caller(), session_id, Channel.VIBER, code=code)
    sessions = execute(world.settings.database_url, "SELECT count(*) FROM session")
    assert sessions == [(1,)], "what is refused opens none, which no limit would have counted"
    created = world.gateway.create(world.caller(SECRET), contact, Channel.SMS, code="1234")
    assert created.sent_to == "sms"
    assert world.gateway.check(world.caller(), created.session_id, "1234")
    encrypted = encode_code("4321", code_key(SECRET))
    created = world.gateway.create(world.caller(SECRET), contact, Channel.SMS, code=encrypted)
    assert world.gateway.check(world.caller(), created.session_id, 4321)
    for forged in (encode_code("4321", code_key("sk_other")), "aes256:nonsense"):
        with pytest.raises(errors.BadRequest):
            world.gateway.create(world.caller(SECRET), contact, Channel.SMS, code=forged)


def test_a_callers_other_code_waits_until_the_channel_has_rested(world: World) -> None:
    contact, caller = parse_contact(new_phone()), world.caller(SECRET)
    created = world.gateway.create(caller, contact, Channel.SMS, code="111111")
    world.clock.pass_seconds(10)
    assert world.gateway.create(caller, contact, Channel.SMS, code="111111").sent_to == "sms", "an answer was lost"
    with pytest.raises(errors.TooSoon) as refused:
        world.gateway.create(caller, contact, Channel.SMS, code="222222")
    assert refused.value.timeout == 50
    for code in ("111111", "222222"):
        with pytest.raises(errors.TooSoon):
            world.gateway.send(caller, created.session_id, Channel.SMS, code=code)
    assert len(claim(world.gateway.store, world.clock.now, 1000, list(Channel), 10)) == 1
    assert world.gateway.check(world.caller(), created.session_id, "111111")


def test_a_legacy_session_has_four_digits_and_prefers_whatsapp_then_habit(world: World) -> None:
    phone = new_phone()
    for channel in (Channel.VIBER, Channel.VIBER, Channel.SMS):
        session = world.create(phone, channel=channel)
        world.gateway.check(world.caller(), session.session_id, world.code_of(session.session_id))
    assert world.gateway.create(world.caller(), parse_contact(phone), legacy=True).sent_to == "viber"
    new = world.gateway.create(world.caller(), parse_contact(new_phone()), legacy=True)
    assert new.sent_to == "whatsapp"
    assert world.gateway.progress(world.caller(), new.session_id).code_length == 4
    code = derive_code(world.gateway.keyring.first.code, new.session_id, DIGITS, 4)
    assert world.gateway.check(world.caller(), new.session_id, code)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("code_length=7", "code_length: write a whole number from 4 to 6"),
        ("code_length=many", "code_length: write a whole number from 4 to 6"),
        ("code_length=", "code_length: write a whole number from 4 to 6"),
        ("ceiling_sms=-1", "ceiling_sms: write a whole number from 0 to 1000000000, or nothing"),
        (
            "channels=sms,pigeon",
            "channels: write one of telegram, whatsapp, viber, sms, email, or some, separated by commas",
        ),
        (
            "default_channel=pigeon",
            "default_channel: write one of telegram, whatsapp, viber, sms, email, or nothing",
        ),
        ("flow=upstream", "flow: write one of channel-first, sending-first"),
        ("digits=perhaps", "digits: write yes or no"),
        ("name=", "name: write a text"),
        (f"challenge_site_key={'k' * 201}", "challenge_site_key: write a text of 200 characters at most"),
        ("digits=false", "digits and letters can't both be off"),
        ("origins=example.com", "origins: 'example.com' is no"),
        ("origins=https://example.com/path", "origins: 'https://example.com/path' is no"),
        ("languages=ru,tlh", "'tlh' is no language of ours"),
        ("channels=sms default_channel=viber", "default_channel: viber is not one of the project's channels"),
        ("bot_id=5", "'bot_id=5': write NAME=VALUE; the names are name, channels"),
        ("nothing=1", "'nothing=1': write NAME=VALUE"),
        ("name", "'name': write NAME=VALUE"),
    ],
)
def test_a_wrong_project_setting_is_refused(change: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        change_settings(ProjectSettings(name="Shop"), change.split())


def test_project_settings_are_read_as_an_operator_writes_them() -> None:
    changed = change_settings(
        ProjectSettings(name="Shop"),
        ["name=Big shop", "channels=sms, email", "letters=yes", "code_length=4", "origins=https://*.Example.com/"],
    )
    assert (changed.name, changed.channels, changed.letters) == ("Big shop", (Channel.SMS, Channel.EMAIL), True)
    assert (changed.code_length, changed.origins) == (4, ("https://*.example.com",))


@pytest.mark.parametrize(
    ("languages", "wished", "spoken"),
    [("", "ru", "ru"), ("", None, "en"), ("ru", "en", "ru"), ("ru,en", "en", "en"), ("ru,en", None, "ru")],
)
def test_a_project_speaks_its_own_languages(languages: str, wished: str | None, spoken: str) -> None:
    chosen = change_settings(ProjectSettings(name="Shop"), [f"languages={languages}"])
    assert chosen.language(wished) == spoken


def test_a_project_is_known_soon_after_it_was_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process, right after this one has looked: a message of its first login must not be given up."""
    seconds = [1000.0]
    monkeypatch.setattr("gateway.book.time.monotonic", lambda: seconds[0])
    world.gateway.projects.forget()
    assert world.gateway.project(2) is None
    world.gateway.store.add_project(ProjectSettings(name="New"), world.clock())
    seconds[0] += 1.5
    made = world.gateway.project(2)
    assert made is not None
    assert made.settings.name == "New"
