"""The conformance suite of the `Store` protocol: every store passes it."""

import itertools
import multiprocessing
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest
from ulid import ULID

from gateway.channels import Channel
from gateway.ids import new_ulid
from gateway.projects import ProjectSettings
from gateway.store import (
    Busy,
    Carried,
    Collected,
    Expected,
    Guesses,
    Limit,
    Link,
    ManualRow,
    NewManual,
    NewSession,
    Opened,
    Order,
    Outcome,
    OwnCode,
    Pause,
    Paused,
    Queued,
    Refused,
    Stop,
    Store,
    StoreError,
    Toll,
    Tried,
    Turnout,
    open_store,
    postgres,
    sqlite,
    sqlite_activation,
)
from gateway.store.ceilings import ceiling_key
from gateway.store.entries import Entry, Wanted
from gateway.store.sqlite import MIGRATIONS
from tests.beside import BesideStore
from tests.databases import Database, chosen, execute, lose_power
from tests.delivering import claim, finish, next_due
from tests.plans import no_scans
from tests.postgres import PostgresServer
from tests.world import START

T = TypeVar("T")

PHONE_CHANNELS = (Channel.TELEGRAM, Channel.SMS)
EVERY = list(Channel)
MINUTE = 60_000
DAY = 86_400_000
PAUSE = Pause(30_000, 3_600_000)
RIGHT, WRONG = b"right" * 3, b"wrong" * 3
HERE = b"d" * 16


@pytest.fixture
def url(database: Database, tmp_path: Path) -> str:
    return database.url(tmp_path)


@pytest.fixture(params=["sqlite", "postgres", "postgres, side by side"])
def database(request: pytest.FixtureRequest, postgres: Callable[[], PostgresServer]) -> Iterator[Database]:
    with chosen(request.param, postgres) as database:
        yield database


@pytest.fixture
def store(url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with no_scans(monkeypatch):
        opened = BesideStore(url) if "side by side" in request.node.name else open_store(url)
        opened.migrate()
        yield opened
        opened.close()


def new(destination: bytes = HERE, now: int = START, attempts: int = 5, project_id: int = 1) -> NewSession:
    return NewSession(
        id=str(ULID.from_bytes(now.to_bytes(6) + os.urandom(10))),
        project_id=project_id,
        destination=destination,
        sealed=b"sealed",
        code_mac=RIGHT,
        code_length=6,
        kind="phone",
        lang="en",
        browser="Firefox, Linux",
        attempts=attempts,
        now=now,
        expires_at=now + 3 * MINUTE,
    )


def order(wanted: Channel | None = None) -> Order:
    return Order(PHONE_CHANNELS, wanted, Channel.TELEGRAM, MINUTE)


def manual(repeat_key: bytes | None = None, callback_url: str | None = None, now: int = START) -> NewManual:
    return NewManual(
        id=str(ULID.from_bytes(now.to_bytes(6) + os.urandom(10))),
        project_id=1,
        destination=HERE,
        sealed=b"sealed",
        own_code=None,
        code_length=6,
        lang="en",
        channel=Channel.SMS,
        now=now,
        expires_at=now + 3 * MINUTE,
        callback_url=callback_url,
        repeat_key=repeat_key,
        fingerprint=b"asked",
    )


def added(store: Store, new: NewManual) -> ManualRow:
    answer = store.add_manual(new)
    assert isinstance(answer, ManualRow)
    return answer


def opened(store: Store, *arguments: Any) -> Opened:
    answer = store.open_session(*arguments)
    assert isinstance(answer, Opened)
    return answer


def guess(store: Store, session_id: str, mac: bytes = WRONG, now: int = START) -> Tried | None:
    tried = store.try_code(1, session_id, [mac], now, PAUSE)
    assert not isinstance(tried, Refused)
    return tried


def test_migrations_run_once(store: Store, url: str) -> None:
    assert store.migrate() == 0
    assert open_store(url).migrate() == 0


def test_what_is_kept_first_stays(store: Store) -> None:
    assert store.keep("pepper", b"one") == b"one"
    assert store.keep("pepper", b"two") == b"one"
    store.replace("pepper", b"three")
    assert store.keep("pepper", b"four") == b"three"


def test_projects_and_their_keys(store: Store) -> None:
    made = store.add_project(ProjectSettings(name="Shop", code_length=4), START)
    assert store.projects() == [made]
    store.set_keys(made.id, b"p" * 32, b"s" * 32, b"sealed", START)
    keys = {key.hash: (key.project_id, key.secret, key.code_key, key.expires_at) for key in store.api_keys()}
    assert keys == {b"p" * 32: (made.id, False, None, None), b"s" * 32: (made.id, True, b"sealed", None)}
    changed = ProjectSettings(name="Shop 2")
    store.change_project(made.id, changed)
    assert store.projects()[0].settings == changed


def test_a_key_belongs_to_one_project(store: Store) -> None:
    one, two = (store.add_project(ProjectSettings(name=name), START) for name in ("one", "two"))
    store.set_keys(one.id, b"p" * 32, b"s" * 32, b"", START)
    for public, secret in ((b"p" * 32, b"x" * 32), (b"x" * 32, b"p" * 32), (b"y" * 32, b"y" * 32)):
        with pytest.raises(StoreError):
            store.set_keys(two.id, public, secret, b"", START)


def test_old_keys_end_when_they_were_told_to(store: Store) -> None:
    made = store.add_project(ProjectSettings(name="Shop"), START)
    for number in range(3):
        store.set_keys(made.id, bytes([number]) * 32, bytes([100 + number]) * 32, b"", START + number)
    ends = {key.hash[0]: key.expires_at for key in store.api_keys()}
    assert ends == {1: START + 2, 101: START + 2, 2: None, 102: None}


def test_a_first_project_is_made_once(store: Store) -> None:
    for _ in range(2):
        store.ensure_first_project(ProjectSettings(name="Shop"), b"p" * 32, b"s" * 32, b"", START)
    assert len(store.projects()) == 1
    assert len(store.api_keys()) == 2
    store.ensure_first_project(ProjectSettings(name="Shop"), b"q" * 32, b"t" * 32, b"", START)
    assert len(store.projects()) == 1
    assert {key.hash for key in store.api_keys() if key.expires_at is None} == {b"q" * 32, b"t" * 32}


def test_a_callers_code_takes_the_place_of_the_derived_one(store: Store) -> None:
    session = opened(store, new(), None).session
    own = OwnCode(b"own" * 5, b"sealed own", 4)
    assert not store.set_code(2, session.id, own, START)
    assert not store.set_code(1, session.id, own, START + 3 * MINUTE)
    assert store.set_code(1, session.id, own, START)
    assert store.queue(1, session.id, Channel.SMS, START, MINUTE)
    later = OwnCode(b"too late" * 2, b"sealed", 4)
    cooling = store.queue(1, session.id, Channel.SMS, START + 1, MINUTE, later)
    assert isinstance(cooling, Queued)
    assert cooling.outcome == "cooling"
    [claimed] = claim(store, START, 1000, EVERY, 10)
    assert (claimed.own_code, claimed.code_length) == (b"sealed own", 4)
    tried = guess(store, session.id, RIGHT)
    assert tried
    assert not tried.right
    tried = guess(store, session.id, b"own" * 5)
    assert tried
    assert tried.right
    again = opened(store, new(now=START + 2), order(Channel.SMS)).session
    [claimed] = claim(store, START + 2, 1000, EVERY, 10)
    assert (claimed.session_id, claimed.own_code, claimed.code_length) == (again.id, None, 6)


def test_a_parked_message_carries_the_code_that_was_brought_last(store: Store) -> None:
    session = opened(store, new(), None).session
    codes = [OwnCode(bytes([number]) * 16, b"sealed %d" % number, 4) for number in range(4)]

    def brought(own: OwnCode | None, now: int, channel: Channel = Channel.TELEGRAM) -> str:
        queued = store.queue(1, session.id, channel, now, MINUTE, own)
        assert isinstance(queued, Queued)
        return queued.outcome

    assert brought(codes[0], START) == "parked"
    assert brought(codes[1], START + MINUTE) == "parked"
    assert brought(codes[2], START + MINUTE) == "unchanged"
    assert brought(None, START + MINUTE) == "unchanged"
    assert store.activate(Link(1, HERE, 9, 70, 70), START + MINUTE) == (True, 1)
    assert brought(codes[2], START + MINUTE + 1) == "unchanged"
    assert brought(codes[3], START + MINUTE + 1) == "cooling", "another one is on its way"
    [claimed] = claim(store, START + MINUTE + 1, 1000, EVERY, 10)
    assert claimed.own_code == codes[2].sealed
    assert brought(codes[2], START + MINUTE + 2, Channel.SMS) == "queued"
    assert brought(codes[2], START + MINUTE + 2, Channel.SMS) == "repeated"
    tried = guess(store, session.id, codes[2].mac, START + MINUTE + 3)
    assert tried
    assert tried.right


def test_a_live_session_is_returned_and_an_ended_one_replaced(store: Store) -> None:
    first = opened(store, new(), None).session
    assert opened(store, new(now=START + 3 * MINUTE - 1), None).session.id == first.id
    second = opened(store, new(now=START + 3 * MINUTE), None).session
    assert second.id != first.id
    assert store.session(1, first.id) is None
    assert store.session(1, second.id) == second
    assert store.session(None, second.id) == second
    assert store.session(2, second.id) is None


def test_a_turnout_counts_what_began_and_was_completed_within_a_time(store: Store) -> None:
    for number in range(6):
        began = new(bytes([number]) * 16, now=START + number * 1000)
        store.open_session(began, None)
        if number % 2:
            store.try_code(1, began.id, [RIGHT], began.now, PAUSE)
    store.open_session(new(HERE, now=START, project_id=2), None)
    assert store.turnout(1, START, START + 6000, 100) == (6, 3)
    assert store.turnout(1, START + 1000, START + 5000, 100) == (4, 2)
    assert store.turnout(1, START, START + 6000, 1) == (1, 1)  # the newest
    assert store.turnout(2, START, START + 6000, 100) == (1, 0)
    assert store.turnout(3, START, START + 6000, 100) == (0, 0)


def test_a_quiet_projects_turnout_passes_through_so_many_of_a_busy_one_s(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "SEARCHED", 5)
    store.open_session(new(now=START, project_id=2), None)
    for number in range(5):
        assert store.turnout(2, START, START + DAY, 100) == (1, 0)
        store.open_session(new(bytes([number]) * 16, now=START + 1 + number), None)
    assert store.turnout(2, START, START + DAY, 100) == (0, 0)
    assert store.turnout(1, START, START + DAY, 100) == (5, 0)


def test_the_same_destination_of_another_project_is_another_one(store: Store) -> None:
    assert opened(store, new(), None).session.id != opened(store, new(project_id=2), None).session.id


def test_what_came_before_the_boot_is_void(store: Store) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    lose_power(store, START + 1)
    assert store.session(1, session.id) is None
    assert guess(store, session.id, RIGHT) is None
    assert store.queue(1, session.id, Channel.SMS, START, 0) is None
    assert opened(store, new(now=START + 2), None).session.id != session.id


def test_no_code_goes_out_for_what_came_before_the_boot(store: Store) -> None:
    """A provider may have it already, and it opens nothing any more."""
    opened(store, new(), order(Channel.SMS))
    lose_power(store, START + 1)
    assert claim(store, START + 2, 1000, [Channel.SMS], 10) == []
    assert next_due(store, [Channel.SMS]) is None


def test_one_attempt_is_counted_a_guess_until_the_session_closes(store: Store) -> None:
    session = opened(store, new(), None).session
    left = [tried.attempts_left for _ in range(5) if (tried := guess(store, session.id))]
    assert left == [4, 3, 2, 1, 0]
    assert guess(store, session.id, RIGHT) is None
    assert store.open_session(new(now=START + 29_999), None) == Paused(START + 30_000)
    assert isinstance(store.open_session(new(now=START + 30_000), None), Opened)


def test_pauses_double_up_to_the_longest(store: Store) -> None:
    now, pauses = START, []
    for _ in range(10):
        session = opened(store, new(now=now, attempts=1), None).session
        guess(store, session.id, now=now)
        paused = store.open_session(new(now=now), None)
        assert isinstance(paused, Paused)
        pauses.append((paused.until - now) // 1000)
        now = paused.until
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def toll(most: int, *keys: bytes, soft: int | None = None, proved: bool = True) -> Toll:
    """At most `most` uses a key, each forgotten after a minute."""
    window = most * MINUTE
    limits = [Limit(key, "address", MINUTE, window, window if soft is None else soft * MINUTE) for key in keys]
    return Toll(tuple(limits), MINUTE, 4 * MINUTE, proved)


def test_what_is_over_a_limit_is_undone_and_blocks_for_longer_each_time(store: Store) -> None:
    now, waits = START, []
    assert isinstance(store.open_session(new(b"1" * 16), None, toll(1, b"a", b"b")), Opened)
    for _ in range(4):
        over = store.open_session(new(b"2" * 16, now=now), order(Channel.SMS), toll(1, b"a", b"c"))
        assert isinstance(over, Refused)
        waits.append((over.until - now) // MINUTE)
        assert store.open_session(new(b"2" * 16, now=over.until - 1), None, toll(1, b"a")) == over
        now = over.until
        assert isinstance(store.open_session(new(os.urandom(16), now=now), None, toll(1, b"a")), Opened)
    assert waits == [1, 2, 4, 4]
    assert claim(store, now, 1000, EVERY, 10) == [], "nothing was queued"
    assert isinstance(store.open_session(new(b"3" * 16), None, toll(1, b"c")), Opened), "nothing was counted"


def test_beyond_the_soft_limit_a_challenge_is_wanted_and_nobody_blocked(store: Store) -> None:
    for number, proved in ((1, False), (2, True)):
        answer = store.open_session(new(bytes([number] * 16)), None, toll(3, b"a", soft=1, proved=proved))
        assert isinstance(answer, Opened)
    wanted = store.open_session(new(b"4" * 16), None, toll(3, b"a", soft=1, proved=False))
    assert isinstance(wanted, Refused)
    assert wanted.whose == ""
    assert isinstance(store.open_session(new(b"4" * 16), None, toll(3, b"a", soft=1)), Opened)


def test_a_send_counts_where_something_is_sent(store: Store) -> None:
    session = opened(store, new(), order(Channel.SMS), toll(2, b"a")).session
    cooling = store.queue(1, session.id, Channel.SMS, START, MINUTE, None, True, toll(2, b"a"))
    assert isinstance(cooling, Queued)
    parked = [store.queue(1, session.id, Channel.TELEGRAM, START, MINUTE, None, True, toll(2, b"a")) for _ in "ab"]
    assert [isinstance(one, Queued) and one.outcome for one in parked] == ["parked", "unchanged"]
    over = store.queue(1, session.id, Channel.SMS, START + MINUTE - 1, 1, None, True, toll(2, b"a"))
    assert isinstance(over, Refused)
    former = store.add_manual(manual(b"key"), toll(1, b"m"))
    assert store.add_manual(manual(b"key"), toll(1, b"m")) == former, "a repeat is free"
    assert isinstance(store.add_manual(manual(b"other"), toll(1, b"m")), Refused)


def test_wrong_codes_count_across_sessions_and_right_ones_are_not_compared_beyond(store: Store) -> None:
    guesses = Guesses(False, (MINUTE,) * 7, 3 * MINUTE, b"here", MINUTE)
    none = Pause(0, 0)
    for attempt in range(3):
        session = opened(store, new(attempts=1), None, None, guesses).session
        tried = store.try_code(1, session.id, [WRONG], START, none, toll(9, b"k"), guesses)
        assert isinstance(tried, Tried), attempt
    assert store.open_session(new(), None, None, guesses) == Paused(START + MINUTE)
    session = opened(store, new(), None).session
    for code in (RIGHT, WRONG):
        refused = store.try_code(1, session.id, [code], START, none, toll(9, b"k"), guesses)
        assert isinstance(refused, Refused)
        assert refused.whose == "guesses"
    current = store.session(1, session.id)
    assert current
    assert current.attempts_left == 5
    assert not store.is_known(HERE, b"here", START)
    known = msgspec.structs.replace(guesses, known=True)
    tried = store.try_code(1, session.id, [RIGHT], START, none, toll(9, b"k"), known)
    assert isinstance(tried, Tried)
    assert tried.right
    assert store.is_known(HERE, b"here", START + MINUTE - 1)
    assert not store.is_known(HERE, b"here", START + MINUTE)
    assert not store.is_known(HERE, b"there", START)


def test_a_known_visitor_passes_a_pause_and_a_stranger_stays_out(store: Store) -> None:
    stranger = Guesses(False, (1,) * 7, DAY, b"", 0)
    known = msgspec.structs.replace(stranger, known=True)
    session = opened(store, new(attempts=1), None, None, stranger).session
    assert isinstance(store.try_code(1, session.id, [WRONG], START, PAUSE, toll(9, b"k"), stranger), Tried)
    assert store.open_session(new(now=START + 1), None, None, stranger) == Paused(START + 30_000)
    session = opened(store, new(now=START + 1), None, None, known).session
    assert store.open_session(new(now=START + 2), None, None, stranger) == Paused(START + 30_000)
    guessed = store.try_code(1, session.id, [RIGHT], START + 2, PAUSE, toll(9, b"k"), stranger)
    assert isinstance(guessed, Refused)
    tried = store.try_code(1, session.id, [RIGHT], START + 2, PAUSE, toll(9, b"k"), known)
    assert isinstance(tried, Tried)
    assert tried.right


def test_only_news_of_activations_counts(store: Store) -> None:
    for _ in range(3):
        assert not isinstance(store.activate(Link(1, HERE, 9, 70, 70), START, toll(1, b"a")), Refused)
    assert isinstance(store.activate(Link(1, b"e" * 16, 9, 70, 70), START, toll(1, b"a")), Refused)
    assert store.activate(Link(1, HERE, 9, 70, 70), START) == (False, 0), "the link stands"


def test_a_right_code_uses_the_session_up_and_forgives(store: Store) -> None:
    session = opened(store, new(attempts=1), None).session
    guess(store, session.id)
    session = opened(store, new(now=START + 30_000, attempts=1), None).session
    tried = store.try_code(1, session.id, [WRONG, RIGHT], START + 30_000, PAUSE)
    assert isinstance(tried, Tried)
    assert tried.right
    assert guess(store, session.id, RIGHT, START + 30_001) is None
    session = opened(store, new(now=START + 30_002, attempts=1), None).session
    guess(store, session.id, now=START + 30_002)
    assert store.open_session(new(now=START + 30_003), None) == Paused(START + 60_002)


def test_a_code_is_tried_only_in_its_project_and_time(store: Store) -> None:
    session = opened(store, new(), None).session
    assert store.try_code(2, session.id, [RIGHT], START, PAUSE) is None
    assert guess(store, session.id, RIGHT, START + 3 * MINUTE) is None
    assert guess(store, "0" * 26, RIGHT) is None
    tried = guess(store, session.id, RIGHT)
    assert tried
    assert tried.attempts_left == 5


def test_a_token_is_spent_once(store: Store) -> None:
    era = store.era()
    assert store.spend("A" * 26, era)
    assert not store.spend("A" * 26, era)
    assert store.spend("B" * 26, era)


def test_a_send_is_not_repeated_within_its_cooldown(store: Store) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    for now, outcome in ((START + 1, "cooling"), (START + MINUTE - 1, "cooling"), (START + MINUTE, "queued")):
        queued = store.queue(1, session.id, Channel.SMS, now, MINUTE)
        assert isinstance(queued, Queued)
        assert queued.outcome == outcome
    assert len(claim(store, START + MINUTE, 1000, EVERY, 10)) == 2


def test_who_was_never_asked_to_send_sends_nothing(store: Store) -> None:
    session = opened(store, new(), None).session
    assert session.sends == ()
    assert next_due(store, EVERY) is None
    assert store.queue(1, session.id, Channel.SMS, START + 3 * MINUTE, MINUTE) is None
    assert store.queue(2, session.id, Channel.SMS, START, MINUTE) is None


def test_the_code_goes_where_it_is_wanted_carried_already_used_last_or_by_default(store: Store) -> None:
    assert opened(store, new(), order(Channel.SMS)).sent_to == "sms"
    assert opened(store, new(), order()).sent_to == "sms"
    assert opened(store, new(b"e" * 16), order()).sent_to == "telegram"
    session = store.open_session(new(), None)
    assert isinstance(session, Opened)
    guess(store, session.session.id, RIGHT)
    assert opened(store, new(), order()).sent_to == "sms"


def test_a_parked_code_is_released_by_its_phones_chat(store: Store) -> None:
    session = opened(store, new(), order(Channel.TELEGRAM)).session
    [send] = session.sends
    assert (send.state, send.began_parked) == ("parked", True)
    link = Link(1, HERE, bot_id=9, chat_id=70, user_id=70)
    before = store.last_event()
    assert store.activate(link, START + 5) == (True, 1)
    assert store.activate(link, START + 6) == (False, 0)
    assert store.events_since(before, 10) == [(before + 1, session.id)]
    [claimed] = claim(store, START + 7, 1000, EVERY, 10)
    assert (claimed.chat_id, claimed.channel, claimed.session_id) == (70, "telegram", session.id)
    current = store.session(1, session.id)
    assert current
    assert current.active
    assert current.sends[0].created_at == START + 5
    queued = store.queue(1, session.id, Channel.TELEGRAM, START + 8, MINUTE)
    assert isinstance(queued, Queued)
    assert queued.outcome == "unchanged"


def test_a_blocked_bot_parks_and_a_welcome_back_releases(store: Store) -> None:
    store.activate(Link(1, HERE, 9, 70, 70), START)
    assert store.deactivate(9, 70, START)
    assert not store.deactivate(9, 70, START)
    assert not store.deactivate(8, 70, START)
    session = opened(store, new(), order(Channel.TELEGRAM)).session
    assert session.sends[0].state == "parked"
    assert store.reactivate(9, 71, START) is None
    assert store.reactivate(9, 70, START) == 1
    assert store.reactivate(9, 70, START) == 0


def test_a_projects_new_bot_takes_its_chats_over_and_waits_for_their_start(store: Store) -> None:
    one, two = (store.add_project(ProjectSettings(name=name, bot_id=9), START) for name in ("one", "two"))
    for project in (one, two):
        store.activate(Link(project.id, HERE, 9, 70, 70), START)
    store.change_project(one.id, ProjectSettings(name="one anew", bot_id=9))
    assert opened(store, new(project_id=one.id), None).session.active
    store.change_project(one.id, ProjectSettings(name="one", bot_id=8))
    assert store.reactivate(9, 70, START) == 0, "the former bot has only the other project's"
    session = opened(store, new(project_id=one.id), order(Channel.TELEGRAM)).session
    assert (session.chat_id, session.active, session.sends[0].state) == (70, False, "parked")
    assert store.reactivate(8, 70, START) == 1


def linked(url: str) -> list[tuple[int, bool]]:
    """Every chat's bot, and whether it is active."""
    rows = execute(url, "SELECT bot_id, active FROM activation ORDER BY destination")
    return [(bot_id, bool(active)) for bot_id, active in rows]


BREAKS_OFF = {  # at the chat 4
    "sqlite": (
        "CREATE TRIGGER breaks BEFORE UPDATE ON activation WHEN old.chat_id = 4 BEGIN SELECT raise(FAIL, ''); END",
        "DROP TRIGGER breaks",
    ),
    "postgresql": (
        "ALTER TABLE activation ADD CONSTRAINT breaks CHECK (chat_id < 4 OR bot_id = 9)",
        "ALTER TABLE activation DROP CONSTRAINT breaks",
    ),
}


def test_chats_are_handed_over_a_few_at_a_time_and_where_that_broke_off_it_goes_on(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one transaction, a project with 300,000 chats came to no other bot on PostgreSQL."""
    for module in (sqlite_activation, postgres):
        monkeypatch.setattr(module, "HANDED_OVER", 2)
    project = store.add_project(ProjectSettings(name="big", bot_id=9), START)
    for number in range(5):
        store.activate(Link(project.id, bytes([number]) * 16, 9, number, number), START)
    breaks, goes_on = BREAKS_OFF[url.partition(":")[0]]
    execute(url, breaks)
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        store.change_project(project.id, ProjectSettings(name="big", bot_id=8))
    assert linked(url) == [(8, False)] * 4 + [(9, True)]
    assert store.projects() == [project], "so that whoever wants its bot changed asks again"
    execute(url, goes_on)
    store.change_project(project.id, ProjectSettings(name="big", bot_id=8))
    assert linked(url) == [(8, False)] * 5


def test_who_changes_a_project_while_its_chats_are_handed_over_is_not_overwritten(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = store.add_project(ProjectSettings(name="old", bot_id=9), START)
    hand_over = store._hand_over  # type: ignore[attr-defined]

    def meanwhile(project_id: int, bot_id: int) -> None:
        hand_over(project_id, bot_id)
        store.change_project(project_id, ProjectSettings(name="new", bot_id=9))
        store.activate(Link(project_id, HERE, 9, 70, 70), START)

    monkeypatch.setattr(store, "_hand_over", meanwhile)
    with pytest.raises(Busy):
        store.change_project(project.id, ProjectSettings(name="old", bot_id=8))
    assert [one.settings.name for one in store.projects()] == ["new"]
    monkeypatch.setattr(store, "_hand_over", hand_over)
    store.change_project(project.id, ProjectSettings(name="new", bot_id=8))
    assert linked(url) == [(8, False)]


def test_another_number_ends_the_link_of_the_former(store: Store) -> None:
    store.activate(Link(1, HERE, 9, 70, 70), START)
    store.activate(Link(1, b"e" * 16, 9, 70, 70), START)
    assert opened(store, new(), None).session.chat_id is None
    assert opened(store, new(b"e" * 16), None).session.chat_id == 70


def test_many_sessions_are_read_at_once(store: Store) -> None:
    both = [opened(store, new(bytes([number]) * 16), order(Channel.SMS)).session.id for number in range(2)]
    assert store.sessions([*both, new_ulid(START)]) == {one: store.session(1, one) for one in both}
    assert store.sessions([]) == {}
    lose_power(store, START + 1)
    assert store.sessions(both) == {}


def test_a_lease_ends_and_another_process_takes_over(store: Store) -> None:
    opened(store, new(), order(Channel.SMS))
    [first] = claim(store, START, 1000, EVERY, 10)
    assert claim(store, START + 999, 1000, EVERY, 10) == []
    assert next_due(store, EVERY) == START + 1000
    [second] = claim(store, START + 1000, 1000, EVERY, 10)
    assert (second.id, second.attempts) == (first.id, 2)


def test_only_channels_with_room_are_claimed_and_no_more_than_asked(store: Store) -> None:
    for number in range(5):
        opened(store, new(bytes([number]) * 16), order(Channel.SMS))
    assert claim(store, START, 1000, [Channel.EMAIL, Channel.TELEGRAM], 10) == []
    assert next_due(store, [Channel.EMAIL]) is None
    assert len(claim(store, START, 1000, [Channel.SMS], 3)) == 3
    assert len(claim(store, START, 1000, [Channel.SMS], 3)) == 2


def test_outcomes_are_written_down_and_told(store: Store) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    [claimed] = claim(store, START, 1000, EVERY, 10)
    finish(store, [Outcome(claimed.id, "queued", error="busy", due_at=START + 500)], START)
    assert store.events_since(0, 10) == []
    [claimed] = claim(store, START + 500, 1000, EVERY, 10)
    finish(store, [Outcome(claimed.id, "sent", reference="x1")], START + 600)
    assert [session_id for _, session_id in store.events_since(0, 10)] == [session.id]
    finish(store, [Outcome(claimed.id, "failed")], START + 700)
    current = store.session(1, session.id)
    assert current
    assert current.sends[0].state == "sent"
    assert next_due(store, EVERY) is None


def test_a_round_writes_down_takes_and_tells_when_the_next_is_due(store: Store) -> None:
    """What was sent is not taken again, though its lease has ended; what is to be tried again at once is."""
    for number in range(4):
        opened(store, new(bytes([number]) * 16), order(Channel.SMS))
    first = store.deliver([], START, 1000, EVERY, 2)
    assert (len(first.claimed), first.next_due) == (2, 0), "two more wait"
    sent, again = (one.id for one in first.claimed)
    late = START + 1000
    second = store.deliver([Outcome(sent, "sent"), Outcome(again, "queued", due_at=late)], late, 500, EVERY, 10)
    assert {one.id: one.attempts for one in second.claimed} == {again: 2, again + 1: 1, again + 2: 1}
    assert second.next_due == late + 500
    assert len(store.events_since(0, 10)) == 1, "what is sent again is no news"
    last = store.deliver([Outcome(one.id, "sent") for one in second.claimed], late, 500, EVERY, 10)
    assert (last.claimed, last.next_due) == ([], None)
    assert len(store.events_since(0, 10)) == 4


@pytest.mark.parametrize("end", ["expired", "used", "replaced"])
def test_a_message_of_a_session_that_is_over_is_failed_not_sent(store: Store, end: str) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    now = START + 3 * MINUTE if end == "expired" else START
    if end == "used":
        guess(store, session.id, RIGHT)
    if end == "replaced":
        guess(store, session.id, RIGHT)
        opened(store, new(), None)
    assert claim(store, now, 1000, EVERY, 10) == []
    assert next_due(store, EVERY) is None


def test_events_left_out_are_asked_for_again(store: Store) -> None:
    sessions = [opened(store, new(bytes([number]) * 16), order(Channel.SMS)).session for number in range(3)]
    for claimed in claim(store, START, 1000, EVERY, 3):
        finish(store, [Outcome(claimed.id, "sent")], START)
    first, second, third = (number for number, _ in store.events_since(0, 10))
    assert {name for _, name in store.events_since(first, 10, [first])} == {session.id for session in sessions}
    assert [number for number, _ in store.events_since(second, 10, [first, third + 9])] == [first, third]
    assert [number for number, _ in store.events_since(third, 10, [second])] == [second]
    assert store.events_since(third, 10, [third + 9]) == []


def test_what_was_committed_is_moved_while_others_write(store: Store, database: Database, url: str) -> None:
    for number in range(200):
        opened(store, new(number.to_bytes(16)), order(Channel.SMS))
    store.checkpoint()
    if database.kind == "sqlite":
        file = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as db:  # without what its log says
            assert db.execute("SELECT count(*) FROM session").fetchone() == (200,)
    opened(store, new(b"after that, too."), order(Channel.SMS))


def test_a_checkpoint_waits_for_nobody_who_reads_on(store: Store, database: Database, url: str) -> None:
    if database.kind == "postgres":
        assert store.checkpoint() is None  # type: ignore[func-returns-value]
        return
    session = opened(store, new(), order(Channel.SMS)).session
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
        db.execute("BEGIN")
        assert db.execute("SELECT id FROM session").fetchall() == [(session.id,)]
        for number in range(1000):
            opened(store, new(number.to_bytes(16)), order(Channel.SMS))
        began = time.monotonic()
        store.checkpoint()
        assert time.monotonic() - began < 2
        assert db.execute("SELECT id FROM session").fetchall() == [(session.id,)]
    store.checkpoint()


def test_a_lease_is_one_holders_until_it_ends_or_is_let_go(store: Store) -> None:
    assert store.hold("poll", "one", START, 1000)
    assert not store.hold("poll", "two", START + 999, 1000)
    assert store.hold("purge", "two", START, 1000), "another lease"
    assert store.hold("poll", "one", START + 999, 1000), "renewed"
    assert not store.hold("poll", "two", START + 1998, 1000)
    assert store.hold("poll", "two", START + 1999, 1000), "it ended"
    store.let_go("poll", "one")
    assert not store.hold("poll", "one", START + 2000, 1000), "only its holder lets go of it"
    store.let_go("poll", "two")
    assert store.hold("poll", "one", START + 2000, 1000)


def test_an_update_is_handled_by_one_process(store: Store) -> None:
    assert store.take_update(9, 100, START, 1000) == "taken"
    assert store.take_update(9, 100, START + 999, 1000) == "busy"
    assert store.take_update(8, 100, START, 1000) == "taken", "another bot's"
    assert store.take_update(9, 100, START + 1000, 1000) == "taken", "whoever took it first has died"
    store.end_update(9, 100, handled=False)
    assert store.take_update(9, 100, START + 1001, 1000) == "taken"
    store.end_update(9, 100, handled=True)
    assert store.take_update(9, 100, START + 9000, 1000) == "done"
    assert store.take_update(9, 99, START + 9000, 1000) == "taken", "an older one that came later"


def test_of_many_processes_one_holds_a_lease_and_one_takes_an_update(store: Store) -> None:
    def hold(name: str) -> bool:
        return store.hold(name, str(threading.get_ident()), START, 1000)

    for number in range(5):
        store.hold(f"poll {number}", "former", START - 1000, 1000)
        assert sorted(together(8, partial(hold, f"poll {number}"))) == [False] * 7 + [True]
        assert sorted(together(8, partial(store.take_update, 9, number, START, 1000))) == ["busy"] * 7 + ["taken"]


def test_what_a_chat_is_expected_to_share_is_remembered(store: Store) -> None:
    assert store.expected(9, 70) is None
    one, two = (Expected(number, str(ULID())) for number in (1, 2))
    store.expect(9, 70, one)
    store.expect(8, 70, two)
    assert (store.expected(9, 70), store.expected(8, 70), store.expected(9, 71)) == (one, two, None)
    met = msgspec.structs.replace(two, met_by=5)
    store.expect(9, 70, met)
    assert (store.expected(9, 70), store.expected(8, 70)) == (met, two)
    store.expect(9, 70, None)
    assert store.expected(9, 70) is None


def test_the_purge_takes_old_updates_and_expectations(store: Store) -> None:
    for number in range(5):
        store.take_update(9, number, START, 1000)
        store.expect(9, number, Expected(1, new().id))
    store.take_update(9, 5, START + MINUTE, 1000)
    store.end_update(9, 5, handled=True)
    young = Expected(1, new(now=START + MINUTE).id)
    store.expect(9, 5, young)
    while store.purge(START + 1, 3):
        pass
    assert store.take_update(9, 5, START + MINUTE, 1000) == "done"
    assert store.take_update(9, 4, START + MINUTE, 1000) == "taken"
    assert [store.expected(9, number) for number in range(6)] == [None] * 5 + [young]


def test_the_purge_takes_what_is_old_in_batches_and_leaves_what_matters(store: Store) -> None:
    for number in range(7):
        session = opened(store, new(bytes([number]) * 16), order(Channel.SMS)).session
        guess(store, session.id, RIGHT)
        store.spend(session.id, store.era())
    store.activate(Link(1, HERE, 9, 70, 70), START)
    young = opened(store, new(now=START + MINUTE), order(Channel.SMS)).session
    last = store.last_event()
    rounds = 0
    while store.purge(START + 1, 3):
        rounds += 1
    assert rounds >= 3
    assert store.session(1, young.id) is not None
    assert opened(store, new(now=START + MINUTE), None).session.chat_id == 70
    assert store.last_event() == last
    assert opened(store, new(b"\x01" * 16, START + MINUTE), order()).sent_to == "sms", "habits stay"


def test_what_keeps_somebody_from_something_outlives_the_sessions(store: Store) -> None:
    session = opened(store, new(), None, toll(1, b"a")).session
    assert store.spend(session.id, store.era())
    assert isinstance(store.open_session(new(destination()), None, toll(1, b"a")), Refused)
    store.stop(stop_of("+44740", until=START + MINUTE, strikes=1), noted())
    late = START + DAY
    while store.purge(late, 10, START):
        pass
    assert store.session(1, session.id) is None
    assert not store.spend(session.id, store.era())
    assert [one.strikes for one in store.stops()] == [1]
    store.open_session(new(destination(), late), None, toll(1, b"a"))
    again = store.open_session(new(destination(), late), None, toll(1, b"a"))
    assert isinstance(again, Refused)
    assert again.strikes == 2
    while store.purge(late, 10, late):
        pass
    assert store.spend(session.id, store.era())
    assert store.stops() == []


def test_a_servers_own_message_is_claimed_sent_and_called_back(store: Store) -> None:
    row = added(store, manual(callback_url="https://example.com/done"))
    assert store.next_callback() is None
    [claimed] = claim(store, START, 1000, EVERY, 10)
    assert (claimed.id, claimed.session_id, claimed.sealed) == (row.message_id, row.id, b"sealed")
    finish(store, [Outcome(row.message_id, "sent")], START + 5)
    assert store.next_callback() == START + 5
    [callback] = store.claim_callbacks(START + 5, 1000, 10)
    assert (callback.message.state, callback.message.finished_at, callback.attempts) == ("sent", START + 5, 1)
    assert store.claim_callbacks(START + 5, 1000, 10) == []
    store.finish_callback(row.message_id, START + 9)
    [again] = store.claim_callbacks(START + 9, 1000, 10)
    assert again.attempts == 2
    store.finish_callback(row.message_id, START + 20, tried=False)
    [again] = store.claim_callbacks(START + 20, 1000, 10)
    assert again.attempts == 2
    store.finish_callback(row.message_id, None)
    assert store.next_callback() is None


def test_a_servers_own_message_is_not_a_session(store: Store) -> None:
    row = added(store, manual())
    assert store.session(None, row.id) is None
    assert guess(store, row.id, RIGHT) is None
    assert store.manual(2, row.message_id) is None


def test_an_old_message_fails_and_is_purged_with_its_callback(store: Store) -> None:
    row = added(store, manual(callback_url="https://example.com/done"))
    late = START + 4 * MINUTE
    assert claim(store, late, 1000, EVERY, 10) == []
    found = store.manual(1, row.message_id)
    assert found is not None
    assert found.state == "failed"
    assert store.next_callback() == late
    while store.purge(late, 10):
        pass
    assert store.manual(1, row.message_id) is None
    assert store.next_callback() is None


def test_a_bot_that_is_not_active_is_not_asked_to_send(store: Store) -> None:
    telegram = msgspec.structs.replace(manual(), channel=Channel.TELEGRAM)
    assert store.add_manual(telegram) == "unreachable"
    store.activate(Link(1, HERE, 9, 70, 70), START)
    added(store, telegram)
    [claimed] = claim(store, START, 1000, EVERY, 10)
    assert claimed.chat_id == 70


def test_a_watch_notices_other_commits(store: Store) -> None:
    import asyncio

    async def look() -> list[bool]:
        watch = store.watch()
        seen = [await watch.changed(0.05)]
        store.open_session(new(), order(Channel.SMS))
        seen += [await watch.changed(5), await watch.changed(0.05)]
        watch.close()
        return seen

    assert asyncio.run(look()) == [False, True, False]


# One tap


def tapped(store: Store, destination: bytes = HERE, now: int = START) -> str:
    """A session of a browser `m`, whose phone is linked to chat 70 of bot 9; its id."""
    store.activate(Link(1, destination, 9, 70, 70), now)
    session = msgspec.structs.replace(new(destination, now), browser_mac=b"m" * 16, place="Europe/Berlin")
    return opened(store, session, order(Channel.TELEGRAM)).session.id


def picks(
    store: Store, session_id: str, right: bool = True, now: int = START, chat: tuple[int, int] = (9, 70)
) -> Any:
    return store.pick(*chat, session_id, right, now, PAUSE)


def test_a_session_keeps_its_browser_and_place(store: Store) -> None:
    session_id = tapped(store)
    row = store.session(1, session_id)
    assert row
    assert (row.browser_mac, row.place, row.joined) == (b"m" * 16, "Europe/Berlin", False)
    [claimed] = claim(store, START, 1000, EVERY, 10)
    assert (claimed.tap, claimed.place, claimed.browser) == (True, "Europe/Berlin", "Firefox, Linux")
    finish(store, [Outcome(claimed.id, "sent", "ref", tap=True)], START)
    row = store.session(1, session_id)
    assert row
    assert [(send.channel, send.tap) for send in row.sends] == [(Channel.TELEGRAM, True)]


@pytest.mark.parametrize("mac", [b"", b"x" * 16])
def test_whoever_else_is_returned_a_browsers_session_joins_it(store: Store, mac: bytes) -> None:
    session_id = tapped(store)
    same = msgspec.structs.replace(new(), browser_mac=b"m" * 16)
    assert not opened(store, same, None).session.joined
    joined = opened(store, msgspec.structs.replace(new(), browser_mac=mac), None).session
    assert (joined.id, joined.joined, joined.browser_mac) == (session_id, True, b"m" * 16)
    assert opened(store, same, None).session.joined, "for good"
    assert not claim(store, START, 1000, EVERY, 10)[0].tap
    assert picks(store, session_id) == picks(store, session_id, right=False) == "joined"
    assert opened(store, new(now=START + 3 * MINUTE), None).session.joined is False


def test_nobody_joins_a_session_that_no_browser_created(store: Store) -> None:
    first = opened(store, new(), None).session
    again = opened(store, msgspec.structs.replace(new(), browser_mac=b"m" * 16), None).session
    assert (again.id, again.joined, again.browser_mac) == (first.id, False, b"")
    store.activate(Link(1, HERE, 9, 70, 70), START)
    assert picks(store, first.id) is None
    assert store.collect(1, first.id, b"", START) is None


def test_a_right_pick_approves_and_its_browser_collects_once(store: Store) -> None:
    session_id = tapped(store)
    assert store.collect(1, session_id, b"m" * 16, START) is None
    assert picks(store, session_id) == "approved"
    assert picks(store, session_id) == "again"
    assert picks(store, session_id, right=False) is None
    assert guess(store, session_id, RIGHT) is None
    assert store.queue(1, session_id, Channel.SMS, START, MINUTE) is None
    row = store.session(1, session_id)
    assert row
    assert row.state == "approved"
    for project_id, mac, now in ((2, b"m" * 16, START), (1, b"x" * 16, START), (1, b"", START)):
        assert store.collect(project_id, session_id, mac, now) is None
    assert store.collect(1, session_id, b"m" * 16, START + 3 * MINUTE) is None
    assert store.collect(1, session_id, b"m" * 16, START + 1) == Collected(b"sealed", store.era())
    assert store.collect(1, session_id, b"m" * 16, START + 1) is None
    assert opened(store, new(), None).session.last_channel is Channel.TELEGRAM


def test_a_provider_is_not_told_that_an_approved_sessions_code_was_entered(store: Store) -> None:
    session_id = tapped(store)
    [claimed] = claim(store, START, 1000, EVERY, 10)
    finish(store, [Outcome(claimed.id, "sent", "ref")], START)
    assert picks(store, session_id) == "approved"
    assert store.ended_sends(session_id) == []
    store.collect(1, session_id, b"m" * 16, START)
    assert [ended.state for ended in store.ended_sends(session_id)] == ["closed"]


def test_a_wrong_pick_and_a_denial_make_the_destination_rest(store: Store) -> None:
    session_id = tapped(store)
    assert picks(store, session_id, right=False) == "closed"
    assert picks(store, session_id) is None
    assert store.open_session(new(now=START + 29_999), None) == Paused(START + 30_000)
    later = START + 30_000
    session_id = tapped(store, now=later)
    assert store.deny(9, 70, session_id, later, PAUSE)
    assert not store.deny(9, 70, session_id, later, PAUSE)
    assert store.open_session(new(now=later), None) == Paused(later + 60_000)


def test_only_the_linked_active_chat_of_the_same_bot_presses(store: Store) -> None:
    session_id = tapped(store)
    for chat in ((9, 71), (8, 70)):
        assert picks(store, session_id, chat=chat) is None
        assert picks(store, session_id, right=False, chat=chat) is None
        assert not store.deny(*chat, session_id, START, PAUSE)
    store.deactivate(9, 70, START)
    assert picks(store, session_id) is None
    assert not store.deny(9, 70, session_id, START, PAUSE)
    store.reactivate(9, 70, START)
    assert picks(store, session_id, now=START + 3 * MINUTE) is None
    assert picks(store, session_id) == "approved"


def test_an_approved_session_gives_way_to_a_new_one(store: Store) -> None:
    session_id = tapped(store)
    assert picks(store, session_id) == "approved"
    assert opened(store, new(), None).session.id != session_id
    assert store.collect(1, session_id, b"m" * 16, START) is None


# The bill


def ceiling(most: int, channel: Channel = Channel.SMS, now: int = START) -> Limit:
    return Limit(ceiling_key(1, channel, now), "ceiling", DAY, most * DAY, most * DAY)


def costing(most: int, wanted: Channel | None = Channel.SMS, now: int = START) -> Order:
    return msgspec.structs.replace(order(wanted), ceilings={Channel.SMS: ceiling(most, now=now)})


def destination() -> bytes:
    return os.urandom(16)


def test_a_ceiling_takes_so_many_a_day_and_not_one_more(store: Store) -> None:
    free = toll(100, b"everybody")
    for minute in range(5):
        assert isinstance(
            store.open_session(new(destination(), START + minute * MINUTE), costing(5), free), Opened
        )
    late = START + DAY - START % DAY - 1
    over = store.open_session(new(HERE, late), costing(5), free)
    assert isinstance(over, Refused)
    assert over.whose == "ceiling"
    assert store.open_session(new(HERE, late), order(Channel.TELEGRAM), free), "the others go on"
    assert store.full([ceiling(5), ceiling(6)], late) == [ceiling(5)]
    tomorrow = late + 1
    assert isinstance(store.open_session(new(HERE, tomorrow), costing(5, now=tomorrow), free), Opened)
    assert store.full([ceiling(1, now=tomorrow)], tomorrow)
    assert store.purge(tomorrow, 500) > 0
    assert store.full([ceiling(1)], tomorrow) == [], "the day that is over is forgotten"
    assert store.full([ceiling(1, now=tomorrow)], tomorrow)


def test_a_ceiling_of_none_takes_none(store: Store) -> None:
    assert isinstance(store.open_session(new(), costing(0), toll(100, b"all")), Refused)
    assert store.full([ceiling(0)], START)


def test_what_is_not_sent_on_the_channel_does_not_count(store: Store) -> None:
    free = toll(100, b"everybody")
    store.open_session(new(), costing(1, Channel.TELEGRAM), free)
    store.open_session(new(), costing(1, Channel.TELEGRAM), free)
    store.open_session(new(destination()), None, free)
    assert store.full([ceiling(1)], START) == []
    store.open_session(new(), costing(1), free)
    store.open_session(new(), costing(1), free)  # within its cool-down
    assert store.full([ceiling(1), ceiling(2)], START) == [ceiling(1)]


def test_a_server_s_own_message_and_a_second_send_count_too(store: Store) -> None:
    session = opened(store, new(), order(Channel.TELEGRAM)).session
    counted = toll(100, b"all").plus(ceiling(1))
    assert isinstance(store.queue(1, session.id, Channel.SMS, START, MINUTE, toll=counted), Queued)
    refused = store.add_manual(manual(), counted)
    assert isinstance(refused, Refused)
    assert refused.whose == "ceiling"


def test_a_channel_that_is_used_up_does_not_take_over(store: Store) -> None:
    ceilings = {Channel.SMS: ceiling(1), Channel.VIBER: ceiling(1, Channel.VIBER)}
    takers = []
    for _ in range(3):
        session = opened(store, new(destination()), order(Channel.WHATSAPP)).session
        [claimed] = claim(store, START, 1000, EVERY, 10)
        failed = Outcome(
            claimed.id, "failed", instead=(Channel.SMS, Channel.VIBER), ceilings=ceilings, reference=session.id
        )
        finish(store, [failed], START)
        found = store.session(1, session.id)
        assert found
        takers.append([send.channel for send in found.sends if send.instead_of])
        for taken in claim(store, START, 1000, EVERY, 10):
            finish(store, [Outcome(taken.id, "sent")], START)
    assert takers == [["sms"], ["viber"], []]


def test_a_report_s_session_is_found(store: Store) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    [claimed] = claim(store, START, 1000, EVERY, 10)
    assert store.carried(Channel.SMS, "R1") is None
    finish(store, [Outcome(claimed.id, "sent", "R1")], START)
    assert store.carried(Channel.SMS, "R1") == Carried(1, session.id, b"sealed")
    assert store.carried(Channel.VIBER, "R1") is None
    assert store.carried(Channel.SMS, "") is None
    for channel in (Channel.VIBER, Channel.SMS):
        store.report(
            Channel.SMS, "R1", "failed", "no", [channel], START, {Channel.VIBER: ceiling(0, Channel.VIBER)}
        )
    found = store.session(1, session.id)
    assert found
    assert [send.channel for send in found.sends] == ["sms"], "no room in the only one, and a report counts once"


def test_it_is_told_once_that_a_ceiling_is_reached(store: Store) -> None:
    store.open_session(new(), costing(1), toll(100, b"all"))
    entry = Entry(START, "system", "guard.ceiling", 1, reason="full")
    assert store.tell_full(ceiling(1), entry)
    assert not store.tell_full(ceiling(1), entry)
    assert store.audit(Wanted(action="guard")) == [entry]
    assert store.full([ceiling(1), ceiling(2)], START) == [ceiling(1)]


def pumped(store: Store, prefix: str, count: int, now: int = START, channel: Channel = Channel.SMS) -> list[str]:
    begun = []
    for _ in range(count):
        one = msgspec.structs.replace(new(destination(), now), prefix=prefix)
        begun.append(opened(store, one, order(channel)).session.id)
    return begun


def turnouts(store: Store, after: int = START, most: int = 1000) -> list[Turnout]:
    return store.turnouts(after, START + DAY, most, [Channel.SMS])


def test_turnouts_are_counted_by_project_and_prefix(store: Store) -> None:
    for session_id in pumped(store, "+79522", 5)[:3]:
        guess(store, session_id, RIGHT)
    guess(store, pumped(store, "+44740", 2)[0], WRONG)
    pumped(store, "+44741", 4, channel=Channel.TELEGRAM)
    pumped(store, "", 4)
    other = msgspec.structs.replace(new(project_id=2), prefix="+79522")
    opened(store, other, order(Channel.SMS))
    assert turnouts(store) == [Turnout(1, "+44740", 2, 0), Turnout(1, "+79522", 5, 3), Turnout(2, "+79522", 1, 0)]
    assert turnouts(store, START + 1) == []
    assert store.turnouts(START - DAY, START, 1000, [Channel.SMS]) == []


def test_of_many_only_the_newest_turn_out_and_failed_messages_not_at_all(store: Store) -> None:
    pumped(store, "+79522", 3)
    pumped(store, "+44740", 4, START + 1)
    assert turnouts(store, most=4) == [Turnout(1, "+44740", 4, 0)]
    for claimed in claim(store, START + 1, 1000, EVERY, 10)[:2]:
        finish(store, [Outcome(claimed.id, "failed")], START + 1)
    assert sum(one.sent for one in turnouts(store)) == 5


def stop_of(prefix: str, since: int = START, until: int = START + DAY, **more: Any) -> Stop:
    return Stop(1, prefix, since, until, more.pop("actor", "system"), **more)


def noted(action: str = "guard.stop") -> Entry:
    return Entry(START, "system", action, 1)


def test_a_prefix_is_stopped_once_and_lifted_once(store: Store) -> None:
    stop = stop_of("+44740", sent=60, entered=1, strikes=1)
    assert store.stop(stop, noted())
    assert not store.stop(stop_of("+44740", START + 1), noted()), "another process saw the same"
    assert store.stops() == [stop]
    assert store.lift(1, "+44740", START + 2, START + DAY, noted("guard.lift"))
    assert not store.lift(1, "+44740", START + 3, START + DAY, noted("guard.lift"))
    assert not store.lift(2, "+44740", START + 3, START + DAY, noted("guard.lift"))
    assert store.stops() == [msgspec.structs.replace(stop, until=START + 2, calm_until=START + DAY)]
    assert not store.stop(stop_of("+44740", START + DAY - 1), noted()), "the lift holds"
    assert store.stop(stop_of("+44740", START + DAY - 1, actor="operator"), noted()), "but not the operator"
    assert [entry.action for entry in store.audit(Wanted())] == ["guard.stop", "guard.lift", "guard.stop"]
    assert store.purge(START + 3 * DAY, 500) == 1
    assert store.stops() == []


def test_what_came_before_a_stop_ended_or_under_a_lift_is_not_held_against_a_prefix(store: Store) -> None:
    pumped(store, "+44740", 3)
    pumped(store, "+44751", 1)
    store.stop(stop_of("+44740", until=START + MINUTE), noted())
    assert turnouts(store) == [Turnout(1, "+44751", 1, 0)]
    pumped(store, "+44740", 2, START + MINUTE)
    assert turnouts(store) == [Turnout(1, "+44740", 2, 0), Turnout(1, "+44751", 1, 0)]
    store.stop(stop_of("+44", START + MINUTE), noted())
    assert turnouts(store) == []
    store.lift(1, "+44", START + 2 * MINUTE, START + 3 * MINUTE, noted("guard.lift"))
    pumped(store, "+44740", 2, START + 2 * MINUTE)
    assert turnouts(store) == []
    pumped(store, "+44740", 1, START + 3 * MINUTE)
    assert turnouts(store) == [Turnout(1, "+44740", 1, 0)]


def test_a_discreet_choice_does_not_tell_what_a_destination_did_before(store: Store) -> None:
    session_id = opened(store, new(), order(Channel.SMS)).session.id
    guess(store, session_id, RIGHT)
    discreet = msgspec.structs.replace(order(), discreet=True)
    assert opened(store, new(), discreet).sent_to == "telegram"
    store.activate(Link(1, HERE, 9, 70, 70), START)
    [claimed] = claim(store, START, 1000, EVERY, 10)[-1:]
    finish(store, [Outcome(claimed.id, "failed")], START)
    again = opened(store, new(), discreet)
    assert (again.sent_to, [send.state for send in again.session.sends]) == ("telegram", ["failed"])
    again = opened(store, new(now=START + MINUTE), msgspec.structs.replace(discreet))
    assert (again.sent_to, [send.state for send in again.session.sends]) == ("telegram", ["queued"])


# Races


def test_of_all_presses_and_codes_one_decides(store: Store) -> None:
    for round_ in range(20):
        session_id = tapped(store, bytes([round_]) * 16)
        before = store.last_event()
        acts: list[Callable[[], Any]] = [
            partial(picks, store, session_id),
            partial(picks, store, session_id, right=False),
            partial(store.deny, 9, 70, session_id, START, PAUSE),
            partial(guess, store, session_id, RIGHT),
        ]
        turn = itertools.count()
        answers = together(40, lambda acts=acts, turn=turn: acts[next(turn) % 4]())  # type: ignore[misc]
        deciding = [one for one in answers if one in ("approved", "closed", True) or isinstance(one, Tried)]
        assert len(deciding) == len(store.events_since(before, 100)) == 1
        collected = together(10, partial(store.collect, 1, session_id, b"m" * 16, START))
        assert [one for one in collected if one] == [Collected(b"sealed", store.era())] * ("approved" in answers)


def test_one_of_many_right_codes_wins(store: Store) -> None:
    for round_ in range(20):
        session = opened(store, new(bytes([round_]) * 16), None).session
        wins = together(50, lambda session=session: guess(store, session.id, RIGHT))  # type: ignore[misc]
        assert sum(1 for tried in wins if tried and tried.right) == 1


def test_of_many_wrong_codes_no_more_than_the_limit_is_compared(store: Store) -> None:
    session = opened(store, new(), None).session
    compared = [tried for tried in together(200, lambda: guess(store, session.id)) if tried]
    assert sorted(tried.attempts_left for tried in compared) == [0, 1, 2, 3, 4]


def test_one_session_is_made_however_many_ask(store: Store) -> None:
    answers = together(50, lambda: opened(store, new(), order(Channel.SMS)))
    assert len({answer.session.id for answer in answers}) == 1
    assert len(claim(store, START, 1000, EVERY, 100)) == 1


def test_an_idempotency_key_makes_one_message_however_many_ask(store: Store) -> None:
    rows = together(50, lambda: added(store, manual(b"key")))
    assert len({row.message_id for row in rows}) == 1
    assert len(claim(store, START, 1000, EVERY, 100)) == 1
    assert store.add_manual(msgspec.structs.replace(manual(b"key"), fingerprint=b"another")) == "other"
    assert added(store, msgspec.structs.replace(manual(b"key"), project_id=2)).message_id != rows[0].message_id


def test_a_ceiling_holds_however_many_ask(store: Store) -> None:
    free = toll(10_000, b"everybody")
    answers = together(20, lambda: store.open_session(new(destination()), costing(7), free))
    assert sum(isinstance(answer, Opened) for answer in answers) == 7
    assert all(answer.whose == "ceiling" for answer in answers if isinstance(answer, Refused))


def test_of_many_guards_one_stops_a_prefix(store: Store) -> None:
    assert together(20, lambda: store.stop(stop_of("+44740"), noted())).count(True) == 1
    assert len(store.audit(Wanted(action="guard"))) == 1


def test_two_couriers_never_claim_the_same_message(store: Store) -> None:
    for number in range(60):
        opened(store, new(number.to_bytes(16)), order(Channel.SMS))
    claimed = [one.id for some in together(20, lambda: claim(store, START, 1000, EVERY, 7)) for one in some]
    assert len(claimed) == len(set(claimed)) == 60


def test_processes_race_like_threads(store: Store, url: str) -> None:
    session = opened(store, new(), None).session
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        right = pool.starmap(_guess_in_a_process, [(url, session.id)] * 16, chunksize=1)
        sessions = pool.starmap(_open_in_a_process, [(url,)] * 16, chunksize=1)
        approved = tapped(store, b"t" * 16)
        picked = pool.starmap(_pick_in_a_process, [(url, approved)] * 16, chunksize=1)
        collected = pool.starmap(_collect_in_a_process, [(url, approved)] * 16, chunksize=1)
    assert sum(right) == 1
    assert len(set(sessions)) == 1
    assert sorted(picked) == ["again"] * 15 + ["approved"]
    assert sum(collected) == 1


def _pick_in_a_process(url: str, session_id: str) -> str:
    return str(picks(open_store(url), session_id))


def _collect_in_a_process(url: str, session_id: str) -> bool:
    return open_store(url).collect(1, session_id, b"m" * 16, START) is not None


def _guess_in_a_process(url: str, session_id: str) -> bool:
    tried = open_store(url).try_code(1, session_id, [RIGHT], START, PAUSE)
    return isinstance(tried, Tried) and tried.right


def _open_in_a_process(url: str) -> str:
    answer = open_store(url).open_session(new(b"p" * 16), None)
    assert isinstance(answer, Opened)
    return answer.session.id


def together(count: int, act: Callable[[], T]) -> list[T]:
    """Do it in `count` threads at the same moment."""
    barrier = threading.Barrier(count)

    def at_once(_: int) -> T:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(at_once, range(count)))


# What is SQLite's own


def test_the_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/deep/store.sqlite3").migrate()
    assert stat.S_IMODE((tmp_path / "deep/store.sqlite3").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%41b", "a?mode=memory", "größe"])
def test_the_file_is_the_one_that_is_named(tmp_path: Path, name: str) -> None:
    open_store(f"sqlite:///{tmp_path}/{name}.sqlite3").migrate()
    left = {file.name.removeprefix(name) for file in tmp_path.iterdir()}
    assert left <= {".sqlite3", ".sqlite3-wal", ".sqlite3-shm"}
    assert (tmp_path / f"{name}.sqlite3").stat().st_size


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    store.migrate()
    with sqlite3.connect(tmp_path / "store.sqlite3") as database:
        database.execute("INSERT INTO migration VALUES (999, 'from the future')")
    database.close()
    with pytest.raises(StoreError, match="newer Kodgate"):
        store.migrate()


def test_code_goes_on_beside_a_newer_migration_that_only_expands(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    store.migrate()
    with sqlite3.connect(tmp_path / "store.sqlite3") as database:
        database.execute("INSERT INTO migration VALUES (998, '0998_more.expands')")
    database.close()
    assert store.migrate() == 0
    assert opened(store, new(), None).session.state == "live"


def test_sessions_from_before_one_tap_live_on(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "store.sqlite3")
    old.execute("CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    for file in sorted(MIGRATIONS.glob("000[123]_*.sql")):
        old.executescript(file.read_text("utf-8"))
        old.execute("INSERT INTO migration VALUES (?, ?)", (int(file.name[:4]), file.stem))
    session = new()
    row = (
        1,
        HERE,
        session.id,
        b"sealed",
        RIGHT,
        6,
        None,
        "phone",
        "en",
        "",
        "live",
        5,
        0,
        0,
        START,
        START + MINUTE,
    )
    old.execute(f"INSERT INTO session VALUES ({', '.join('?' * 16)})", row)  # noqa: S608 - marks
    old.commit()
    old.close()
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    assert store.migrate() == len(list(MIGRATIONS.glob("*.sql"))) - 3
    kept = store.session(1, session.id)
    assert kept
    assert (kept.state, kept.browser_mac, kept.joined) == ("live", b"", False)
    tried = guess(store, session.id, RIGHT)
    assert tried
    assert tried.right


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_text("This is a letter to my grandmother. " * 100)
    with pytest.raises((StoreError, Busy)):
        open_store(f"sqlite:///{tmp_path}/store.sqlite3").migrate()


def test_a_failing_transaction_leaves_nothing_half_done(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    store.migrate()
    with sqlite3.connect(tmp_path / "store.sqlite3") as database:
        database.execute("ALTER TABLE message RENAME TO lost")
    database.close()
    with pytest.raises(Busy):
        store.open_session(new(), order(Channel.SMS))
    with sqlite3.connect(tmp_path / "store.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM session").fetchone() == (0,)
    database.close()


def test_processes_that_start_at_once_on_a_new_file_all_get_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    for number in range(25):
        together, told = fork.Barrier(4), fork.Queue()

        def start(
            url: str = f"sqlite:///{tmp_path}/{number}.sqlite3", wait: Any = together, tell: Any = told
        ) -> None:
            wait.wait()
            try:
                open_store(url).migrate()
                tell.put("well")
            except StoreError as problem:
                tell.put(str(problem))

        processes = [fork.Process(target=start) for _ in range(4)]
        for process in processes:
            process.start()
        assert [told.get(timeout=30) for _ in processes] == ["well"] * 4
        for process in processes:
            process.join()
