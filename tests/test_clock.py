"""A clock that jumps while we serve: nobody is kept out for it, and nothing lives for ever."""

import asyncio
import os
from pathlib import Path

import pytest

from bot.worker import Worker
from gateway.channels import Channel
from gateway.clock import AHEAD, LivedTime, SetBack
from gateway.contact import parse_contact
from gateway.errors import DestinationBlocked, GatewayError, SessionExpired, TooSoon
from gateway.ids import made_at, new_ulid
from gateway.leases import Lease
from gateway.store import Claimed, Outcome
from gateway.store.sqlite import SqliteStore
from gateway.verbs import Draft
from tests import delivering
from tests.databases import Database, execute, lose_power
from tests.delivering import next_due
from tests.servers import Servers, until
from tests.world import START, TestClock, World, make_world, new_phone

HOUR = 3600
DAY = 24 * HOUR * 1000


def set_back(world: World, seconds: int) -> None:
    """While the bot process is there to notice."""
    world.clock.pass_seconds(-seconds)
    world.gateway.store.put_right(world.clock(), 600_000)


def log_in(world: World, phone: str) -> None:
    session_id = world.create(phone).session_id
    token = world.gateway.check(world.caller(), session_id, world.code_of(session_id)).verify_token
    world.gateway.verify(world.caller("sk_development"), token)


@pytest.mark.parametrize("back", [3 * HOUR, 400 * 24 * HOUR])
def test_a_clock_put_back_keeps_nobody_out(database: Database, tmp_path: Path, back: int) -> None:
    """Limits used up, a pause and a block begun: all of it would last until the old time is there again."""
    world = make_world(tmp_path, limit_sends_destination="2/3600", pause_seconds=600, cooldown_seconds=0)
    phone, flooded = new_phone(), new_phone()
    session_id = world.create(phone).session_id
    for number in range(5):
        with pytest.raises(GatewayError):
            world.gateway.check(world.caller(), session_id, world.wrong_code(session_id, number + 1))
    for _ in range(2):
        world.create(flooded)
        world.clock.pass_seconds(181)
    with pytest.raises(TooSoon):
        world.create(flooded)
    world.clock.pass_seconds(-back)
    log_in(world, flooded)
    log_in(world, phone)


def test_limits_begin_anew_after_a_clock_was_put_back(database: Database, tmp_path: Path) -> None:
    """What is forgotten does not come back with the next use, nor with the next block."""
    world = make_world(tmp_path, limit_sends_destination="2/3600", cooldown_seconds=0)
    phone = new_phone()
    use_up(world, phone)
    world.clock.pass_seconds(-20 * 60)
    use_up(world, phone)
    world.clock.pass_seconds(HOUR)
    world.create(phone)


def test_guesses_of_a_time_that_is_no_more_are_forgotten(database: Database, tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_guesses="2/86400")
    phone = new_phone()
    session_id = world.create(phone).session_id
    for number in range(2):
        with pytest.raises(GatewayError):
            world.gateway.check(world.caller(), session_id, world.wrong_code(session_id, number + 1))
    with pytest.raises(DestinationBlocked):
        world.gateway.check(world.caller(), session_id, world.code_of(session_id))
    world.clock.pass_seconds(181)
    with pytest.raises(DestinationBlocked):
        world.create(phone)
    world.clock.pass_seconds(-HOUR)
    log_in(world, phone)


def use_up(world: World, phone: str) -> None:
    """All of two sends."""
    for _ in range(2):
        world.create(phone)
        world.clock.pass_seconds(181)
    with pytest.raises(TooSoon):
        world.create(phone)


def test_a_pause_from_before_the_clock_was_put_back_is_not_inherited(tmp_path: Path) -> None:
    world = make_world(tmp_path, pause_seconds=600)
    phone = new_phone()
    session_id = world.create(phone).session_id
    for number in range(5):
        with pytest.raises(GatewayError):
            world.gateway.check(world.caller(), session_id, world.wrong_code(session_id, number + 1))
    world.clock.pass_seconds(-30 * 24 * HOUR)
    world.create(phone)
    world.clock.pass_seconds(200)
    log_in(world, phone)


def test_a_session_from_before_the_clock_was_put_back_is_over(world: World) -> None:
    phone = new_phone()
    session_id = world.create(phone).session_id
    code = world.code_of(session_id)
    set_back(world, HOUR)
    with pytest.raises(SessionExpired):
        world.gateway.check(world.caller(), session_id, code)
    with pytest.raises(SessionExpired):
        world.gateway.channels(world.caller(), session_id)
    assert world.gateway.progress(world.caller(), session_id).state == "expired"
    assert world.create(phone).session_id != session_id
    log_in(world, phone)


def test_limits_hold_through_a_small_correction_of_the_clock(database: Database, tmp_path: Path) -> None:
    world = make_world(tmp_path, limit_sends_destination="2/3600", cooldown_seconds=0)
    phone = new_phone()
    world.create(phone)
    world.clock.pass_seconds(181)
    world.create(phone)
    world.clock.pass_seconds(-AHEAD // 1000)
    with pytest.raises(TooSoon) as refusal:
        world.create(phone, channel=Channel.SMS)
    assert refusal.value.params["timeout"] <= HOUR // 2 + AHEAD // 1000
    world.clock.pass_seconds(refusal.value.params["timeout"])
    log_in(world, phone)


def test_a_small_correction_of_the_clock_disturbs_no_login(world: World) -> None:
    session_id = world.create(new_phone()).session_id
    world.clock.pass_seconds(-AHEAD / 1000)
    token = world.gateway.check(world.caller(), session_id, world.code_of(session_id)).verify_token
    world.gateway.verify(world.caller("sk_development"), token)


def test_a_verify_token_lives_no_longer_for_a_clock_put_back(world: World) -> None:
    session_id = world.create(new_phone()).session_id
    token = world.gateway.check(world.caller(), session_id, world.code_of(session_id)).verify_token
    world.clock.pass_seconds(-HOUR)
    with pytest.raises(SessionExpired):
        world.gateway.verify(world.caller("sk_development"), token)


def test_what_waits_for_a_later_clock_goes_on(world: World) -> None:
    """A server's own message from before the clock was put back is sent; that of a void session is not."""
    store, clock = world.gateway.store, world.clock
    world.create(new_phone(), channel=Channel.SMS)
    draft = Draft(parse_contact(new_phone()), Channel.SMS)
    sent = world.gateway.manual_send(world.caller("sk_development"), draft)
    assert len(claim(world)) == 2, "by a process that dies"
    clock.pass_seconds(-HOUR)
    assert claim(world) == []
    assert store.put_right(clock(), 1000) == 2
    clock.pass_seconds(2)
    assert [claimed.id for claimed in claim(world)] == [sent.message_id]
    assert next_due(store, [Channel.SMS]) == clock() + 15_000


def test_a_code_goes_out_at_once_although_the_clock_was_put_back_meanwhile(world: World) -> None:
    """By less than a minute, which counts as a correction."""
    world.create(new_phone(), channel=Channel.SMS)
    world.clock.pass_seconds(-20)
    assert len(claim(world)) == 1


def test_no_code_goes_out_for_a_session_that_is_void(world: World) -> None:
    world.create(new_phone(), channel=Channel.SMS)
    world.clock.pass_seconds(-HOUR)
    assert claim(world) == []
    assert next_due(world.gateway.store, [Channel.SMS]) is None, "it has failed"


def test_a_lease_is_asked_for_although_the_clock_was_put_back(world: World) -> None:
    """Its holder has died, and nobody would take it over until the old time is there again."""
    store = world.gateway.store
    assert asyncio.run(Lease(store, world.clock, "purge", 60).held())
    mine = Lease(store, world.clock, "purge", 60)
    assert not asyncio.run(mine.held())
    set_back(world, 3 * HOUR)
    world.clock.pass_seconds(1)
    assert asyncio.run(mine.held())


def claim(world: World) -> list[Claimed]:
    return delivering.claim(world.gateway.store, world.clock(), 15_000, [Channel.SMS], 10)


def test_set_back_tells_of_a_jump_once_and_not_of_a_correction() -> None:
    clock, seconds = TestClock(), [0.0]
    jumps = SetBack(clock, lambda: seconds[0])
    clock.pass_seconds(5 * HOUR)
    assert jumps.by() == 0, "forwards"
    clock.pass_seconds(-AHEAD / 1000)
    assert jumps.by() == 0
    clock.pass_seconds(-2 * HOUR)
    assert jumps.by() == 2 * HOUR * 1000 + AHEAD
    assert jumps.by() == 0
    seconds[0] += HOUR
    assert jumps.by() == HOUR * 1000, "a clock that stands still is put back, too"


def test_what_is_purged_was_really_there_for_so_long() -> None:
    clock, seconds = TestClock(), [0.0]
    lived = LivedTime(clock, DAY, lambda: seconds[0])
    began = clock()
    clock.pass_seconds(400 * 24 * HOUR)
    seconds[0] += 60
    assert lived() == began + 60_000, "a jump forward is not lived"
    clock.now = began - 5000
    assert lived() == began - 5000
    clock.pass_seconds(70)
    seconds[0] += 70
    assert lived() == clock()


def test_a_clock_that_keeps_time_is_trusted_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Else one correction, at the start or at a single look, kept contacts for longer by that until a restart."""
    seconds = [0.0]
    worker = Worker(world.settings, world.gateway)
    worker._lived = LivedTime(world.clock, DAY, lambda: seconds[0])

    def passes(hours: float, jump: float = 0) -> None:
        seconds[0] += hours * HOUR
        world.clock.pass_seconds((hours + jump) * HOUR)
        asyncio.run(worker._purge_once())

    def lives(session_id: str) -> bool:
        return world.gateway.store.session(None, session_id) is not None

    passes(1, jump=30 * 24)
    session_id = world.create(new_phone()).session_id
    for _ in range(23):
        passes(1)
        assert worker._lived() == world.clock() - 30 * DAY
    assert lives(session_id)
    passes(1)
    passes(0.1)
    assert worker._lived() == world.clock()
    assert not lives(session_id), "a day after its clock went forward, it was there for a day"
    passes(0, jump=-365 * 24)
    passes(0, jump=365 * 24)
    assert worker._lived() == world.clock() - 365 * DAY
    passes(23)
    assert worker._lived() == world.clock() - 365 * DAY
    passes(1)
    assert worker._lived() == world.clock()
    assert caplog.text.count("the clock went forward") == 2, "once each time"


def test_what_a_clock_that_was_ahead_has_dated_is_purged_once_it_keeps_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts would stay for 400 days, and events that came after these as long: the oldest are looked at."""
    monkeypatch.setattr("bot.worker.PURGE_BATCH", 3)
    store, clock, url = world.gateway.store, world.clock, world.settings.database_url
    seconds = [0.0]
    worker = Worker(world.settings, world.gateway)
    worker._lived = LivedTime(clock, DAY, lambda: seconds[0])

    def passes(hours: float) -> None:
        seconds[0] += hours * HOUR
        clock.pass_seconds(hours * HOUR)
        asyncio.run(worker._purge_once())

    def rows(table: str) -> int:
        count: int = execute(url, f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608 - our own names
        return count

    clock.pass_seconds(400 * 24 * HOUR)
    for _ in range(5):
        world.create(new_phone(), channel=Channel.SMS)
        server = Draft(parse_contact(new_phone()), Channel.SMS)
        sent = world.gateway.manual_send(world.caller("sk_development"), server)
    done = [Outcome(one.id, "sent") for one in claim(world) if one.id != sent.message_id]
    delivering.finish(store, done, clock())
    set_back(world, 400 * 24 * HOUR)
    clock.pass_seconds(20 * HOUR)
    another_machines = world.create(new_phone()).session_id
    clock.pass_seconds(-20 * HOUR)
    passes(0)
    assert (rows("session"), rows("manual")) == (6, 5), "the clock has just been put back"
    passes(1.1)
    assert (rows("session"), rows("manual"), rows("message")) == (1, 1, 2)
    assert store.session(None, another_machines) is not None
    assert store.manual(1, sent.message_id) is not None, "it is still to be sent"
    world.create(new_phone(), channel=Channel.SMS)
    passes(48)
    assert rows("event") <= 1
    assert rows("session") == 0


def test_sessions_from_before_the_boot_follow_a_clock_that_is_put_right(tmp_path: Path) -> None:
    """Began with a clock three hours ahead, soon after the boot; what is begun after it was put right counts."""
    world = make_world(tmp_path)
    store = world.gateway.store
    assert isinstance(store, SqliteStore)
    booted = world.clock() - 60_000
    store._booted_at = lambda: booted
    world.clock.pass_seconds(-3 * HOUR)
    booted -= 3 * HOUR * 1000
    log_in(world, new_phone())


def test_workers_end_with_their_master_and_leave_it_the_port(tmp_path: Path) -> None:
    with Servers(tmp_path, ("web",), WEB_WORKERS="2") as servers:
        master = servers.pid("web")
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        assert len(workers) == 2
        servers.kill("web", alone=True)
        until(lambda: not any(_lives(worker) for worker in workers), "the workers end")
        servers.start("web")


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_token_from_the_second_of_the_crash_itself_is_good(world: World) -> None:
    world.clock.pass_seconds(0.7)
    before = world.create(new_phone()).session_id
    token = world.gateway.check(world.caller(), before, world.code_of(before)).verify_token
    lose_power(world.gateway.store, world.clock() + 10)
    world.clock.pass_seconds(0.05)
    log_in(world, new_phone())
    with pytest.raises(SessionExpired):
        world.gateway.verify(world.caller("sk_development"), token)


@pytest.mark.parametrize("ms", [0, 1, 1_764_000_000_123, START])
def test_an_id_tells_when_it_was_made(ms: int) -> None:
    assert made_at(new_ulid(ms)) == ms
