"""When a channel fails: the next provider, then the next channel, in the engine's own steps."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.lines import Line, place_in_turn
from gateway.providers import Message, Provider, Receipt
from gateway.store import Outcome
from gateway.verbs import Draft
from tests.delivering import claim, finish, next_due
from tests.receiver import Receiver
from tests.world import World, make_world, new_phone


class Silent:
    """A provider that is only counted."""

    async def send(self, message: Message) -> Receipt:
        return Receipt(str(message.id))

    async def check(self) -> str:
        return ""

    async def close(self) -> None:
        pass


def line(*weights: int) -> Line:
    providers: tuple[Provider, ...] = tuple(Silent() for _ in weights)
    return Line(providers, weights)


# A channel's providers


def test_without_weights_providers_come_in_their_order() -> None:
    assert [line(0, 0, 0).order(number) for number in range(3)] == [[0, 1, 2]] * 3


def test_with_weights_each_comes_first_for_its_share() -> None:
    three_to_one = line(3, 1)
    firsts = [three_to_one.order(number)[0] for number in range(4000)]
    assert 0.72 < firsts.count(0) / 4000 < 0.78
    assert all(three_to_one.order(number) == three_to_one.order(number) for number in range(100))


def test_one_without_a_weight_follows_those_that_have_one() -> None:
    assert all(line(0, 5, 1).order(number)[-1] == 0 for number in range(50))


def test_turns_go_round_and_leave_out_who_gave_up() -> None:
    three = line(0, 0, 0)
    assert [place_in_turn(attempt, 0, [0, 1, 2]) for attempt in (1, 2, 3, 4)] == [0, 1, 2, 0]
    left = three.left(1, 0b001)
    assert left == [1, 2]
    assert left[place_in_turn(2, 0b001, left)] == 1, "the second attempt, after the first refused for good"
    assert three.left(1, 0b111) == []


def test_a_provider_that_the_caller_named_is_the_only_one() -> None:
    assert line(0, 0, 0).left(1, 0, named=2) == [1]
    assert line(0, 0, 0).left(1, 0b010, named=2) == []
    assert line(0, 0, 0).left(1, 0, named=17) == [0, 1, 2], "one that there is not means the channel's own choice"


def test_the_named_provider_is_handed_on(shop: World) -> None:
    draft = Draft(parse_contact(new_phone()), Channel.SMS, provider_id=2)
    shop.gateway.manual_send(shop.caller("sk_development"), draft)
    [claimed] = claim(shop.gateway.store, shop.clock(), 1000, [Channel.SMS], 10)
    assert claimed.provider == 2


# The next channel


@pytest.fixture
def shop(tmp_path: Path) -> World:
    return make_world(tmp_path)


def fail(world: World, session_id: str, channel: Channel) -> None:
    """The message of this channel fails for good."""
    store = world.gateway.store
    [claimed] = claim(store, world.clock(), 1000, [channel], 10)
    assert claimed.session_id == session_id
    instead, ceilings = world.gateway.reach.instead(claimed, channel, active=claimed.chat_id is not None)
    finish(store, [Outcome(claimed.id, "failed", error="no", instead=instead, ceilings=ceilings)], world.clock())


def test_the_projects_next_channel_takes_over(shop: World) -> None:
    session_id = shop.create(new_phone(), channel=Channel.SMS).session_id
    fail(shop, session_id, Channel.SMS)
    progress = shop.gateway.progress(shop.caller(), session_id)
    assert progress.deliveries == {"sms": "failed", "whatsapp": "queued"}
    assert progress.instead_of == {"whatsapp": "sms"}
    fail(shop, session_id, Channel.WHATSAPP)
    fail(shop, session_id, Channel.VIBER)
    progress = shop.gateway.progress(shop.caller(), session_id)
    assert progress.deliveries == {"sms": "failed", "whatsapp": "failed", "viber": "failed"}
    assert next_due(shop.gateway.store, list(Channel)) is None, "no channel is tried twice"


def test_telegram_takes_over_only_where_its_bot_is_active(shop: World) -> None:
    phone = new_phone()
    shop.activate(phone)
    session_id = shop.create(phone, channel=Channel.SMS).session_id
    fail(shop, session_id, Channel.SMS)
    assert shop.gateway.progress(shop.caller(), session_id).instead_of == {"telegram": "sms"}


def test_nobody_takes_over_where_the_visitor_already_did(shop: World) -> None:
    session_id = shop.create(new_phone(), channel=Channel.SMS).session_id
    shop.gateway.send(shop.caller(), session_id, Channel.VIBER)
    fail(shop, session_id, Channel.SMS)
    assert shop.gateway.progress(shop.caller(), session_id).instead_of == {}


def test_nobody_takes_over_for_a_session_that_is_over(shop: World) -> None:
    session_id = shop.create(new_phone(), channel=Channel.SMS).session_id
    [claimed] = claim(shop.gateway.store, shop.clock(), 1000, [Channel.SMS], 10)
    assert shop.gateway.check(shop.caller(), session_id, shop.code_of(session_id))
    finish(shop.gateway.store, [Outcome(claimed.id, "failed", instead=(Channel.VIBER,))], shop.clock())
    assert next_due(shop.gateway.store, list(Channel)) is None


def test_an_email_has_no_other_channel(shop: World) -> None:
    session_id = shop.create("ann@example.com", channel=Channel.EMAIL).session_id
    fail(shop, session_id, Channel.EMAIL)
    assert next_due(shop.gateway.store, list(Channel)) is None


def test_the_channel_that_took_over_counts_as_the_proof(shop: World) -> None:
    session_id = shop.create(new_phone(), channel=Channel.SMS).session_id
    fail(shop, session_id, Channel.SMS)
    [claimed] = claim(shop.gateway.store, shop.clock(), 1000, [Channel.WHATSAPP], 10)
    finish(shop.gateway.store, [Outcome(claimed.id, "sent")], shop.clock())
    token = shop.gateway.check(shop.caller(), session_id, shop.code_of(session_id)).verify_token
    assert shop.gateway.verify(shop.caller("sk_development"), token).channel == "whatsapp"


# Without a bot


@pytest.mark.usefixtures("database")
def test_telegram_without_its_bot_is_sent_at_once_where_a_provider_reaches_it(tmp_path: Path) -> None:
    shop = make_world(tmp_path, telegram_url="webhook+https://telegram.example.com")
    created = shop.create(new_phone(), channel=Channel.TELEGRAM)
    telegram = next(channel for channel in created.channels if channel.type == "telegram")
    assert telegram.is_active
    assert shop.gateway.progress(shop.caller(), created.session_id).deliveries == {"telegram": "queued"}


# Reports


def report(world: World, reference: str, state: str, channel: Channel = Channel.SMS) -> bool:
    carried = world.gateway.store.carried(channel, reference)
    instead, _ = world.gateway.reach.instead(carried, channel, active=False) if carried else ((), {})
    return world.gateway.store.report(channel, reference, state, "", instead, world.clock())  # type: ignore[arg-type]


def sent(world: World, reference: str) -> str:
    session_id = world.create(new_phone(), channel=Channel.SMS).session_id
    [claimed] = claim(world.gateway.store, world.clock(), 1000, [Channel.SMS], 10)
    instead, _ = world.gateway.reach.instead(claimed, Channel.SMS, active=False)
    finish(world.gateway.store, [Outcome(claimed.id, "sent", reference, instead=instead)], world.clock())
    return session_id


def state_of(world: World, session_id: str) -> dict[Channel, str]:
    return dict(world.gateway.progress(world.caller(), session_id).deliveries)


def test_a_report_is_applied_once(shop: World) -> None:
    session_id = sent(shop, "ref-1")
    before = shop.gateway.store.last_event()
    assert report(shop, "ref-1", "delivered")
    assert not report(shop, "ref-1", "delivered")
    assert state_of(shop, session_id) == {"sms": "delivered"}
    assert shop.gateway.store.last_event() == before + 1


def test_delivered_is_the_last_word_in_whatever_order(shop: World) -> None:
    session_id = sent(shop, "ref-2")
    assert report(shop, "ref-2", "delivered")
    assert not report(shop, "ref-2", "failed")
    assert state_of(shop, session_id) == {"sms": "delivered"}


def test_a_reported_failure_lets_the_next_channel_take_over(shop: World) -> None:
    session_id = sent(shop, "ref-3")
    assert report(shop, "ref-3", "failed")
    assert state_of(shop, session_id) == {"sms": "failed", "whatsapp": "queued"}
    assert report(shop, "ref-3", "delivered"), "it came after all"
    assert state_of(shop, session_id)[Channel.SMS] == "delivered"


def test_the_late_failure_of_an_older_message_moves_nobody(world: World) -> None:
    session_id = sent(world, "ref-7")
    world.clock.pass_seconds(61)
    world.gateway.send(world.caller(), session_id, Channel.SMS)
    [again] = claim(world.gateway.store, world.clock(), 1000, [Channel.SMS], 10)
    finish(world.gateway.store, [Outcome(again.id, "sent", "ref-8")], world.clock())
    assert report(world, "ref-8", "delivered")
    assert report(world, "ref-7", "failed")
    assert state_of(world, session_id) == {"sms": "delivered"}


@pytest.mark.parametrize("order", [("failed", "delivered"), ("delivered", "failed")])
def test_a_report_that_is_faster_than_our_own_note_is_kept(shop: World, order: tuple[str, str]) -> None:
    for state in order:
        report(shop, "ref-4", state)
    session_id = sent(shop, "ref-4")
    assert state_of(shop, session_id) == {"sms": "delivered"}


def test_an_early_failure_lets_the_next_channel_take_over(shop: World) -> None:
    report(shop, "ref-5", "failed")
    session_id = sent(shop, "ref-5")
    assert state_of(shop, session_id) == {"sms": "failed", "whatsapp": "queued"}


def test_a_report_means_nothing_to_another_channel(shop: World) -> None:
    session_id = sent(shop, "ref-6")
    report(shop, "ref-6", "failed", Channel.VIBER)
    assert state_of(shop, session_id) == {"sms": "sent"}


# kodgate send


def kodgate_send(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", "send", *arguments],
        env={**kept, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_operator_sends_one_for_real() -> None:
    with Receiver(answers=[200, 400]) as sender:
        url = f"webhook+{sender.url}/send"
        ended = kodgate_send("--channel", "sms", "--to", "+7 952 296-62-36", SMS_URL=f"{url} {url}")
    assert ended.returncode == 1
    assert re.search(r"ok +sms by webhook\+http://: taken in \d+ ms", ended.stdout)
    assert "WRONG sms by webhook+http://: refused for good: the webhook answered 400" in ended.stdout
    [first, _] = sender.received
    assert json.loads(first.body)["to"] == "+79522966236"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--channel", "sms", "--to", "nobody"), "--to is not a phone number"),
        (("--channel", "sms", "--to", "ann@example.com"), "can't reach"),
        (("--channel", "telegram", "--to", "+79522966236"), "TELEGRAM_URL"),
        (("--channel", "pigeon", "--to", "+79522966236"), "pigeon"),
    ],
)
def test_what_can_not_be_sent_is_said(arguments: tuple[str, ...], part: str) -> None:
    ended = kodgate_send(*arguments)
    assert ended.returncode in (1, 2)
    assert part in ended.stderr
