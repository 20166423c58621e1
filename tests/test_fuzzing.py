"""A moment of `make fuzz`, so that it goes on working, and what was found by it once stays found."""

from pathlib import Path

import pytest

from tests.databases import Database
from tests.figures import Figure
from tests.fuzzing import campaign, random_bytes, requests, updates, verbs
from tests.fuzzing.parsers import TARGETS
from tests.servers import Servers, hosted_by


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_written_is_read_or_refused(name: str) -> None:
    for seed in (b"", *TARGETS[name].seeds):
        TARGETS[name].run(seed)
    assert random_bytes.run(name, max_examples=40, database=None, derandomize=True) >= 40


def test_coverage_finds_nothing_in_the_parsers(tmp_path: Path, figure: Figure) -> None:
    if not campaign.has_atheris():
        figure("atheris is not installed (make fuzz): the parsers had hypothesis alone")
        return
    inputs = campaign.guided(list(TARGETS), 6, tmp_path)
    assert inputs > len(TARGETS)
    figure(f"atheris: {inputs} inputs for {len(TARGETS)} parsers, nothing came out")


def test_any_order_of_verbs_keeps_the_promises(database: Database) -> None:
    examples = 40 if database.kind == "sqlite" else 12  # each begins with an empty database
    steps = verbs.run(
        campaign.new_world,
        campaign.end_world,
        max_examples=examples,
        stateful_step_count=40,
        database=None,
        derandomize=True,
    )
    assert steps > examples * 12


def test_no_update_stops_the_bot_or_links_a_phone_that_is_not_its_senders(servers: Servers) -> None:
    assert updates.run(servers, max_examples=10, database=None, derandomize=True) > 50


def test_a_phone_is_linked_by_its_owners_own_contact_alone(servers: Servers) -> None:
    bot = updates.Bot(servers)
    for shared in updates.stolen(bot.victim).values():
        bot.take(shared)
    bot.is_well()
    bot.take(updates.own(bot.victim))
    with pytest.raises(AssertionError):  # so that what the others showed was not that nothing is ever linked
        bot.is_well()


def test_no_request_is_answered_with_a_fault_of_ours(servers: Servers) -> None:
    assert requests.run(servers, max_examples=20, database=None, derandomize=True) > 100


def test_nor_by_a_site_on_an_account_elsewhere(servers: Servers, tmp_path: Path) -> None:
    with hosted_by(servers, tmp_path) as site:
        assert requests.run(site, max_examples=10, database=None, derandomize=True) > 50


def test_nor_is_there_one_where_telegram_sends_the_updates(tmp_path: Path) -> None:
    with Servers(tmp_path, TELEGRAM_MODE="webhook") as servers:
        assert updates.run(servers, max_examples=10, database=None, derandomize=True) > 50
        assert requests.run(servers, max_examples=10, database=None, derandomize=True) > 50
