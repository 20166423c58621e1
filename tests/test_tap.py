"""One tap: who may approve a session, who may collect it, and that each happens once."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import errors
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.keyring import Keyring
from gateway.local import LocalGateway
from gateway.place import known_place, place_name
from gateway.settings import DEVELOPMENT_SECRET
from gateway.store import Outcome
from gateway.tap import Numbers, derive_numbers, read_press, tap_data
from gateway.tokens import write_payload
from gateway.verbs import Caller, Checked, Progress
from tests.delivering import claim, finish
from tests.world import BOT_ID, World, make_world, new_phone
from web.visitor import place_of

CHAT, ANOTHER_CHAT = 7, 8
MINE, THEIRS = "the browser's own secret", "somebody else's"


def browser(world: World, key: str = MINE) -> Caller:
    return msgspec.structs.replace(
        world.caller(), browser_key=key, browser="Chrome, Windows", place="Europe/Berlin"
    )


def opened(world: World, phone: str, *, sent: bool = True) -> str:
    """A session of a known Telegram user's browser, its message sent with the numbers."""
    world.activate(phone, CHAT)
    session_id = world.gateway.create(browser(world), parse_contact(phone), Channel.TELEGRAM).session_id
    if sent:
        deliver(world)
    return session_id


def deliver(world: World, *, tap: bool = True) -> None:
    for claimed in claim(world.gateway.store, world.clock(), 1000, list(Channel), 10):
        finish(world.gateway.store, [Outcome(claimed.id, "sent", tap=tap and claimed.tap)], world.clock())


def numbers(session_id: str) -> Numbers:
    return derive_numbers(Keyring([DEVELOPMENT_SECRET]).first.tap, session_id)


def wrong(session_id: str) -> int:
    return next(number for number in numbers(session_id).shown if number != numbers(session_id).right)


def pick(world: World, session_id: str, number: int | None = None, chat: int = CHAT, bot: int = BOT_ID) -> str:
    return world.gateway.pick(bot, chat, session_id, number or numbers(session_id).right)


def progress(world: World, session_id: str, key: str = MINE) -> Progress:
    return world.gateway.progress(browser(world, key), session_id)


def collects(world: World, session_id: str, key: str = MINE) -> bool:
    try:
        return bool(world.gateway.collect(browser(world, key), session_id).verify_token)
    except errors.SessionExpired:
        return False


def together(gateway: LocalGateway, acts: list[Callable[[], Any]]) -> list[Any]:
    """All at the same moment, each in a thread (and so on a connection) of its own."""
    barrier = threading.Barrier(len(acts))

    def at_once(act: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return act()
        except errors.GatewayError as refusal:
            return refusal.sys_message
        finally:
            gateway.store.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(at_once, acts))


# The numbers


def test_three_different_two_digit_numbers_and_one_of_them_is_right() -> None:
    key = Keyring(["k" * 32]).first.tap
    found = [derive_numbers(key, f"{number:026d}") for number in range(20_000)]
    assert all(len(set(one.shown)) == 3 and one.right in one.shown for one in found)
    assert {number for one in found for number in one.shown} == set(range(10, 100))
    places = Counter(one.shown.index(one.right) for one in found)
    assert all(abs(count - 20_000 / 3) < 350 for count in places.values()), "five sigma"
    rights = Counter(one.right for one in found)
    assert sum((count - 20_000 / 90) ** 2 / (20_000 / 90) for count in rights.values()) < 160, (
        "chi squared, 89 dof"
    )


def test_the_numbers_are_no_others_business() -> None:
    one, other = (Keyring([secret * 32]).first for secret in "ab")
    assert derive_numbers(one.tap, "0" * 26) == derive_numbers(one.tap, "0" * 26)
    assert derive_numbers(one.tap, "0" * 26) != derive_numbers(other.tap, "0" * 26)
    assert len({one.tap, one.code, one.mac, one.link, one.token}) == 5


def test_what_a_button_carries_is_read_back_and_nothing_else_is() -> None:
    session_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert read_press(tap_data(session_id, 47)) == (session_id, 47)
    assert read_press(f"deny:{session_id}") == (session_id, None)
    assert len(tap_data(session_id, 99).encode()) <= 64
    for data in (
        None, "", "tap", f"tap:{session_id}", f"tap:{session_id}:", f"tap:{session_id}:9", f"tap:{session_id}:09",
        f"tap:{session_id}:470", f"tap:{session_id}:４７", f"deny:{session_id}:47", f"tap:{session_id[:-1]}:47",
        f"tap:{session_id.lower()}:47", f"tap:{session_id}:47\n", f"pick:{session_id}:47", "x" * 10_000,
    ):  # fmt: skip
        assert read_press(data) is None, data


# Approving and collecting


def test_the_right_number_approves_and_the_browser_collects(world: World) -> None:
    phone = new_phone()
    session_id = opened(world, phone)
    assert progress(world, session_id).number == numbers(session_id).right
    assert not collects(world, session_id), "nothing is approved yet"
    assert pick(world, session_id) == "approved"
    after = progress(world, session_id)
    assert (after.state, after.number) == ("approved", None)
    assert not collects(world, session_id, THEIRS)
    assert not collects(world, session_id, "")
    assert pick(world, session_id) == "approved", "pressed twice"
    assert pick(world, session_id, wrong(session_id)) == "over"
    assert not world.gateway.deny(BOT_ID, CHAT, session_id)
    assert pick(world, session_id, chat=ANOTHER_CHAT) == "over"
    token = world.gateway.collect(browser(world), session_id).verify_token
    assert pick(world, session_id) == "approved", "pressed late"
    assert progress(world, session_id).state == "used"
    assert not collects(world, session_id)
    verified = world.gateway.verify(world.caller("sk_development"), token)
    assert (verified.phone, verified.channel, verified.session_id) == (phone, Channel.TELEGRAM, session_id)
    with pytest.raises(errors.SessionExpired):
        world.gateway.verify(world.caller("sk_development"), token)
    assert world.create(phone).sent_to == Channel.TELEGRAM, "the habit is noted"


def test_every_step_is_announced(world: World) -> None:
    session_id = opened(world, new_phone())
    seen = world.gateway.store.last_event()

    def told() -> list[str]:
        return [name for _, name in world.gateway.store.events_since(seen, 100)]

    assert pick(world, session_id) == "approved"
    assert told() == [session_id]
    assert collects(world, session_id)
    assert told() == [session_id] * 2
    closed = opened(world, new_phone())
    seen = world.gateway.store.last_event()
    assert pick(world, closed, wrong(closed)) == "wrong"
    assert told() == [closed]
    denied = opened(world, new_phone())
    seen = world.gateway.store.last_event()
    assert world.gateway.deny(BOT_ID, CHAT, denied)
    assert told() == [denied]


def test_an_approved_session_takes_no_code_and_gives_way_to_a_new_one(world: World) -> None:
    phone = new_phone()
    session_id = opened(world, phone)
    assert pick(world, session_id) == "approved"
    with pytest.raises(errors.SessionExpired):
        world.gateway.check(world.caller(), session_id, world.code_of(session_id))
    with pytest.raises(errors.SessionExpired):
        world.gateway.send(world.caller(), session_id, Channel.SMS)
    assert world.create(phone).session_id != session_id
    assert not collects(world, session_id)


def test_an_approval_ends_with_its_session(world: World) -> None:
    session_id = opened(world, new_phone())
    assert pick(world, session_id) == "approved"
    world.clock.pass_seconds(180)
    assert progress(world, session_id).state == "expired"
    assert not collects(world, session_id)


def test_a_session_that_its_code_opened_was_not_approved(world: World) -> None:
    session_id = opened(world, new_phone())
    world.gateway.check(world.caller(), session_id, world.code_of(session_id))
    assert pick(world, session_id) == "over"


def test_only_the_projects_own_caller_collects(world: World) -> None:
    session_id = opened(world, new_phone())
    assert pick(world, session_id) == "approved"
    other = msgspec.structs.replace(world.caller().project, id=99)
    with pytest.raises(errors.SessionExpired):
        world.gateway.collect(msgspec.structs.replace(browser(world), project=other), session_id)
    assert collects(world, session_id)


def test_a_wrong_pick_and_a_denial_close_and_make_the_phone_rest(world: World) -> None:
    for denial in (False, True):
        phone = new_phone()
        for rest in (30, 60, 120):
            session_id = opened(world, phone)
            if denial:
                assert world.gateway.deny(BOT_ID, CHAT, session_id)
            else:
                assert pick(world, session_id, wrong(session_id)) == "wrong"
            assert progress(world, session_id).state == "closed"
            assert pick(world, session_id) == "over", "the right one comes too late"
            assert not world.gateway.deny(BOT_ID, CHAT, session_id)
            assert not collects(world, session_id)
            with pytest.raises(errors.DestinationBlocked) as refusal:
                world.create(phone)
            assert refusal.value.timeout == rest
            world.clock.pass_seconds(rest)


def test_a_right_pick_forgets_the_strikes(world: World) -> None:
    phone = new_phone()
    session_id = opened(world, phone)
    assert pick(world, session_id, wrong(session_id)) == "wrong"
    world.clock.pass_seconds(30)
    session_id = opened(world, phone)
    assert pick(world, session_id) == "approved"
    session_id = opened(world, phone)
    assert pick(world, session_id, wrong(session_id)) == "wrong"
    with pytest.raises(errors.DestinationBlocked) as refusal:
        world.create(phone)
    assert refusal.value.timeout == 30


# Who may press


def test_a_strangers_chat_is_told_what_an_unknown_session_is(world: World) -> None:
    session_id = opened(world, new_phone())
    unknown = "0" * 26
    for number in numbers(session_id).shown:
        assert pick(world, session_id, number, ANOTHER_CHAT) == "over"
        assert pick(world, session_id, number, bot=BOT_ID + 1) == "over"
        assert pick(world, unknown, number) == "over"
    for chat, bot, which in ((ANOTHER_CHAT, BOT_ID, session_id), (CHAT, 2, session_id), (CHAT, BOT_ID, unknown)):
        assert not world.gateway.deny(bot, chat, which)
    assert progress(world, session_id).state == "live"
    assert pick(world, session_id) == "approved"


def test_a_strangers_chat_does_not_learn_that_somebody_joined(world: World) -> None:
    phone = new_phone()
    session_id = opened(world, phone)
    world.create(phone)
    assert pick(world, session_id, chat=ANOTHER_CHAT) == "over"
    assert pick(world, session_id) == "joined"


def test_a_chat_whose_link_is_gone_cannot_press(world: World) -> None:
    session_id = opened(world, new_phone())
    world.gateway.deactivate(BOT_ID, CHAT)
    assert pick(world, session_id) == "over"
    assert not world.gateway.deny(BOT_ID, CHAT, session_id)
    world.gateway.reactivate(BOT_ID, CHAT)
    assert pick(world, session_id) == "approved"


def test_a_number_that_no_button_shows_changes_nothing(world: World) -> None:
    session_id = opened(world, new_phone())
    absent = next(number for number in range(10, 100) if number not in numbers(session_id).shown)
    assert pick(world, session_id, absent) == "over"
    assert pick(world, session_id) == "approved"


def test_a_pick_after_the_end_is_over(world: World) -> None:
    session_id = opened(world, new_phone())
    world.clock.pass_seconds(180)
    assert pick(world, session_id) == "over"
    assert not world.gateway.deny(BOT_ID, CHAT, session_id)


# Who sees the number


def test_nobody_but_the_creating_browser_is_told_the_number(world: World) -> None:
    session_id = opened(world, new_phone())
    assert progress(world, session_id, THEIRS).number is None
    assert progress(world, session_id, "").number is None
    assert world.gateway.progress(world.caller(), session_id).number is None


@pytest.mark.parametrize("joiner", [THEIRS, ""])
def test_whoever_else_is_handed_the_session_ends_one_tap(world: World, joiner: str) -> None:
    """A session lives by its phone: the visitor's browser may be handed an attacker's, and show no number."""
    phone = new_phone()
    session_id = opened(world, phone)
    again = world.gateway.create(browser(world), parse_contact(phone))
    assert again.session_id == session_id
    assert progress(world, session_id).number, "its own browser may ask again"
    joined = world.gateway.create(browser(world, joiner), parse_contact(phone))
    assert joined.session_id == session_id
    assert progress(world, session_id).number is None
    for number in numbers(session_id).shown:
        assert pick(world, session_id, number) == "joined"
    assert progress(world, session_id).state == "live"
    assert not collects(world, session_id)
    assert world.gateway.check(world.caller(), session_id, world.code_of(session_id)).verify_token


def test_the_owner_can_deny_a_session_that_somebody_joined(world: World) -> None:
    phone = new_phone()
    session_id = opened(world, phone)
    world.create(phone)
    assert world.gateway.deny(BOT_ID, CHAT, session_id)
    assert progress(world, session_id).state == "closed"


def test_a_session_that_an_api_client_created_is_never_approved_by_tap(world: World) -> None:
    phone = new_phone()
    world.activate(phone, CHAT)
    session_id = world.create(phone, channel=Channel.TELEGRAM).session_id
    [claimed] = claim(world.gateway.store, world.clock(), 1000, list(Channel), 10)
    assert not claimed.tap
    assert world.gateway.create(browser(world), parse_contact(phone)).session_id == session_id
    assert progress(world, session_id).number is None
    assert pick(world, session_id) == "over"
    assert progress(world, session_id, "").number is None


def test_the_number_waits_for_a_message_that_shows_it(world: World) -> None:
    phone = new_phone()
    world.activate(phone, CHAT)
    session_id = world.gateway.create(browser(world), parse_contact(phone), send=False).session_id
    assert progress(world, session_id).number is None
    world.gateway.send(browser(world), session_id, Channel.SMS)
    assert progress(world, session_id).number is None
    world.gateway.send(browser(world), session_id, Channel.TELEGRAM)
    assert progress(world, session_id).number, "it is on its way"
    deliver(world, tap=False)
    assert progress(world, session_id).number is None, "another provider took it, without buttons"


def test_the_number_comes_with_the_activation(world: World) -> None:
    phone = new_phone()
    session_id = world.gateway.create(browser(world), parse_contact(phone), Channel.TELEGRAM).session_id
    assert progress(world, session_id).number is None
    world.activate(phone, CHAT)
    assert progress(world, session_id).number == numbers(session_id).right
    deliver(world)
    assert progress(world, session_id).number == numbers(session_id).right
    assert pick(world, session_id) == "approved"


def test_a_project_may_do_without(world: World) -> None:
    session_id = opened(world, new_phone())
    caller = browser(world)
    without = msgspec.structs.replace(caller.project.settings, one_tap=False)
    caller = msgspec.structs.replace(caller, project=msgspec.structs.replace(caller.project, settings=without))
    assert world.gateway.progress(caller, session_id).number is None


def test_the_next_session_starts_afresh(world: World) -> None:
    phone = new_phone()
    first = opened(world, phone)
    world.create(phone)
    world.clock.pass_seconds(180)
    second = opened(world, phone)
    assert second != first
    assert progress(world, second).number == numbers(second).right
    world.clock.pass_seconds(180)
    third = world.create(phone).session_id
    assert pick(world, third) == "over", "the row keeps nothing of its former browser"


def test_a_rotation_of_the_keys_changes_nothing_under_way(world: World, tmp_path: Path) -> None:
    phone = new_phone()
    session_id = opened(world, phone)
    rotated = make_world(tmp_path, world.clock, secret_keys=("n" * 40, DEVELOPMENT_SECRET))
    assert progress(rotated, session_id).number == numbers(session_id).right
    rotated.gateway.create(browser(rotated), parse_contact(phone))
    assert pick(rotated, session_id) == "approved"
    assert collects(rotated, session_id)
    rotated.gateway.close()


# Races


def test_of_many_right_picks_one_counts(world: World) -> None:
    for _ in range(10):
        session_id = opened(world, new_phone())
        seen = world.gateway.store.last_event()
        answers = together(world.gateway, [partial(pick, world, session_id)] * 16)
        assert Counter(answers) == {"approved": 16}, "who presses again is told the same"
        assert len(world.gateway.store.events_since(seen, 100)) == 1


def test_of_a_right_and_a_wrong_pick_and_a_denial_one_counts(world: World) -> None:
    for _ in range(10):
        session_id = opened(world, new_phone())
        seen = world.gateway.store.last_event()
        acts: list[Callable[[], Any]] = [
            partial(pick, world, session_id),
            partial(pick, world, session_id, wrong(session_id)),
            partial(world.gateway.deny, BOT_ID, CHAT, session_id),
        ]
        answers = together(world.gateway, acts * 5)
        assert len(world.gateway.store.events_since(seen, 100)) == 1
        if "approved" in answers:
            assert Counter(answers) == {"approved": 5, "over": 5, False: 5}
        else:
            assert sorted(map(str, set(answers))) in (["False", "True", "over"], ["False", "over", "wrong"])
            assert answers.count("wrong") + answers.count(True) == 1
        assert collects(world, session_id) is ("approved" in answers)


def test_a_pick_and_a_right_code_never_make_two_tokens(world: World) -> None:
    wins: Counter[bool] = Counter()
    for _ in range(20):
        session_id = opened(world, new_phone())
        acts: list[Callable[[], Any]] = [
            partial(pick, world, session_id),
            partial(world.gateway.check, world.caller(), session_id, world.code_of(session_id)),
        ]
        answers = together(world.gateway, acts * 4)
        tokens = [answer for answer in answers if isinstance(answer, Checked)]
        approved = "approved" in answers
        assert len(tokens) == (not approved)
        assert collects(world, session_id) is approved
        wins[approved] += 1
    print(wins)


def test_an_approval_is_collected_once(world: World) -> None:
    for _ in range(10):
        session_id = opened(world, new_phone())
        assert pick(world, session_id) == "approved"
        answers = together(world.gateway, [partial(collects, world, session_id)] * 16)
        assert Counter(answers) == {True: 1, False: 15}


def test_a_pick_and_somebody_who_joins(world: World) -> None:
    """Either the pick came first, and the joiner gets a session of their own; or the pick no longer counts."""
    for _ in range(10):
        phone = new_phone()
        session_id = opened(world, phone)
        picked, joined = together(
            world.gateway,
            [partial(pick, world, session_id), partial(world.create, phone)],
        )
        assert (picked, joined.session_id == session_id) in (("approved", False), ("joined", True))


# The place


def test_places_are_countries_and_time_zones_and_nothing_else() -> None:
    assert known_place("Europe/Berlin") == "Europe/Berlin"
    assert known_place("Europe/Kiev") == "Europe/Kyiv"
    assert known_place("de") == "DE"
    for claimed in (
        "",
        "XX",
        "T1",
        "EU",
        "ZZ",
        "UTC",
        "Etc/GMT+3",
        "Mars/Base",
        "<b>",
        "../etc",
        "E" * 9_999,
        "Я",
    ):
        assert known_place(claimed) == "", claimed


def test_the_proxys_country_comes_before_the_browsers_time_zone() -> None:
    assert place_of("DE", "Europe/Moscow") == "DE"
    assert place_of("XX", "Europe/Moscow") == place_of(None, "Europe/Moscow") == "Europe/Moscow"
    assert place_of("", "") == place_of("Europe/Berlin, DE", "nowhere") == ""


def test_a_place_is_named_in_the_readers_language() -> None:
    assert place_name("Europe/Berlin", "en") == "Germany (Berlin)"
    assert place_name("Europe/Berlin", "ru") == "Германия (Берлин)"
    assert place_name("Europe/Kyiv", "ru") == "Украина (Киев)"
    assert place_name("Asia/Singapore", "en") == "Singapore"
    assert place_name("DE", "tr") == "Almanya"
    assert place_name("Europe/Berlin", "no such language") == "Germany (Berlin)"
    assert place_name("<script>", "en") == ""


def test_the_place_travels_with_the_session_and_what_is_no_place_does_not(world: World) -> None:
    phone = new_phone()
    session_id = world.gateway.create(browser(world), parse_contact(phone), Channel.TELEGRAM).session_id
    payload = write_payload(world.gateway.keyring, session_id)
    linked = world.gateway.linked_session(BOT_ID, payload)
    assert (linked.place, linked.browser) == ("Europe/Berlin", "Chrome, Windows")
    world.activate(phone, CHAT)
    [claimed] = claim(world.gateway.store, world.clock(), 1000, list(Channel), 10)
    assert (claimed.place, claimed.browser, claimed.tap) == ("Europe/Berlin", "Chrome, Windows", True)
    lie = msgspec.structs.replace(browser(world), place="your bank’s head office")
    session_id = world.gateway.create(lie, parse_contact(new_phone()), send=False).session_id
    row = world.gateway.store.session(None, session_id)
    assert row
    assert row.place == ""
