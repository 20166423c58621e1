"""The attacks that come by the thousand, small: guesses at many phones, a flood, and what times tell."""

import time
from pathlib import Path

from tests.attack import flood, guesser, guessing, times
from tests.attack.site import Site, Target
from tests.attack.times import KINDS, Kind, Verb


def test_guesses_at_a_hundred_phones_from_a_thousand_addresses_stop_no_honest_login(target: Target) -> None:
    port = int(target.site.web.rpartition(":")[2])
    plan = guesser.Plan(port, target.public["x-api-key"], 2000, 20, 100, 1000, connections=4)
    outcome, honest = guessing.million_by_http(target, plan, logins_a_second=5)
    print(outcome)
    assert outcome.times == 2000
    assert outcome.through == 0
    assert honest.logins
    assert honest.failures == []


def test_a_day_of_guesses_at_many_phones_takes_over_none_and_locks_nobody_out(tmp_path: Path) -> None:
    outcome, honest = guessing.million_in_a_day(tmp_path, 2000, 20, 200)
    print(outcome)
    assert outcome.times == 2000
    assert outcome.through == 0
    assert len(honest) == 2 * 3 * 100, "every honest login came to its end"


def test_beside_a_flood_honest_visitors_log_in_with_a_challenge_and_memory_stays_flat(tmp_path: Path) -> None:
    with Site(tmp_path, LIMIT_SENDS_PROJECT="60/3600") as site:
        outcome, honest = flood.flood(site.target(), 3000, 4, 50, 50_000, logins_a_second=4, healthy_within=30)
        print(outcome)
        assert outcome.times > 10_000
        assert outcome.through == 0
        assert honest.challenged
        assert honest.logins


# What times tell


def test_the_verbs_times_do_not_tell_a_known_phone(tmp_path: Path) -> None:
    found = times.in_process(tmp_path, 800)
    print(times.shown(found))
    assert times.worth_hearing(found) == []


def test_a_verb_that_takes_an_eighth_longer_for_one_kind_would_be_told() -> None:
    phones: dict[Kind, list[str]] = {kind: [f"{kind} {number}" for number in range(600)] for kind in KINDS}

    def asks(verb: Verb, phone: str, session_id: str) -> str:
        end = time.perf_counter() + (0.000225 if verb == "check" and phone.startswith("active") else 0.0002)
        while time.perf_counter() < end:
            pass
        return phone

    found = times.measure(asks, phones)
    assert times.worth_hearing(found) == ["check"]
    told = times.told(found)
    assert told["check"] > 0.25
    assert told["channels"] < 0.12
