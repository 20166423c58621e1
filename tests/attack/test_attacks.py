"""Each attack of `make attack`, small. Every one has a control: it fails, too, where nothing works at all."""

from pathlib import Path

import pytest

from tests.attack import behind, flooding, guessing, inward, pages, telegram, tokens, wire
from tests.attack.outcome import Outcome, table
from tests.attack.site import Site, Target


def held(outcome: Outcome) -> None:
    print(f"{outcome.tried}: {outcome.through} of {outcome.times:,}; {outcome.note}")
    assert outcome.times > 0
    assert outcome.through == 0, outcome


# Guessing


def test_two_hundred_wrong_codes_at_once_get_five_compared_and_close_the_session(target: Target) -> None:
    held(guessing.wrong_codes_at_once(target, 1))


def test_a_right_code_posted_fifty_times_at_once_logs_in_once(target: Target) -> None:
    held(guessing.right_code_raced(target, 2))


def test_nobody_sets_a_code_for_somebody_elses_phone(target: Target) -> None:
    held(guessing.codes_brought_along(target, 1))


def test_new_sessions_sends_and_addresses_buy_no_guesses(target: Target) -> None:
    held(guessing.new_codes(target, 2, 12))


def test_a_day_of_guesses_with_any_number_of_addresses_stays_below_the_bound(tmp_path: Path) -> None:
    held(guessing.day_by_day(tmp_path, (4,), 1))


# The bill


def test_sixty_sends_to_one_phone_from_as_many_addresses_are_one_a_channel(target: Target) -> None:
    held(flooding.one_phone(target, 60))


def test_forged_hops_left_of_the_proxys_are_one_address(target: Target) -> None:
    held(flooding.forged_hops(target, 40))


def test_addresses_of_one_ipv6_network_are_one(target: Target) -> None:
    held(flooding.one_ipv6_network(target, 40))


def test_who_drops_the_widgets_cookie_is_still_one_address(target: Target) -> None:
    held(flooding.no_cookies(target, 30))


def test_who_waits_patiently_is_asked_for_the_challenge_as_well(tmp_path: Path) -> None:
    held(flooding.slow_pump(tmp_path, 600))


# Tokens


def test_a_token_shown_fifty_times_at_once_to_two_processes_verifies_once(target: Target) -> None:
    held(tokens.replayed(target, 2))


def test_a_changed_or_made_up_token_verifies_never(target: Target) -> None:
    held(tokens.changed(target, 100))


def test_another_projects_keys_open_neither_token_nor_session(target: Target, other: Target) -> None:
    held(tokens.of_others(target, other, 2))
    held(tokens.sessions_of_others(target, other, 2))


# Telegram


def test_a_second_browser_never_gets_the_first_ones_approval(target: Target) -> None:
    held(telegram.second_browser(target, 2))


def test_taps_in_other_chats_and_made_up_buttons_change_nothing(target: Target) -> None:
    held(telegram.taps_by_strangers(target, 1))


def test_after_a_wrong_number_the_right_one_comes_too_late(target: Target) -> None:
    held(telegram.guessed_numbers(target, 1))


def test_no_contact_but_the_senders_own_in_a_private_chat_counts(target: Target) -> None:
    """Of others, forwarded, edited, by a bot, through a bot, in groups and channels."""
    held(telegram.others_contacts(target, 1))


def test_an_attackers_link_gives_them_nothing_of_who_follows_it(target: Target) -> None:
    held(telegram.phished_links(target, 1))


def test_changed_and_made_up_links_are_no_links(target: Target) -> None:
    held(telegram.forged_links(target, 20))


# Pages


def test_foreign_forms_are_refused_in_production(target: Target) -> None:
    held(pages.foreign_forms(target))


def test_no_page_shows_itself_in_a_strangers_frame(target: Target) -> None:
    held(pages.frames(target))


def test_markup_in_any_field_stays_text(target: Target) -> None:
    held(pages.markup(target))


def test_no_login_ends_on_a_strangers_page(shop: Target) -> None:
    held(pages.ways_back(shop))


def test_line_ends_make_no_headers(shop: Target) -> None:
    held(pages.injected_headers(shop))


def test_pages_of_strangers_can_not_use_a_key(shop: Target) -> None:
    held(pages.strangers_pages(shop))


def test_the_secret_keys_verbs_take_no_other_key(target: Target) -> None:
    held(pages.keys(target))


# Bytes


def test_no_spelling_of_an_address_inside_is_called_back(target: Target) -> None:
    held(inward.callbacks(target))


def test_too_much_is_refused_and_leaves_no_memory(target: Target) -> None:
    held(wire.oversize(target))


def test_who_drips_holds_nobody_up(target: Target) -> None:
    held(wire.slow(target, 50, 0.5))


def test_who_drips_a_body_holds_nobody_up(target: Target) -> None:
    held(wire.slow_bodies(target, 50, 0.5))


def test_no_path_leads_to_files_or_past_a_key(target: Target) -> None:
    held(wire.paths(target))


def test_no_sign_begins_a_line_of_the_log(target: Target) -> None:
    held(wire.log_lines(target, 1))


# Behind


def test_forged_reports_are_refused_and_send_nothing_anew(target: Target) -> None:
    held(behind.forged_reports(target, 16))


def test_the_audit_log_can_not_be_changed_in_passing(target: Target) -> None:
    held(behind.hidden_traces(target))


def test_neither_database_nor_logs_tell_what_logins_were_made_of(site: Site, target: Target) -> None:
    for outcome in behind.spoils(site, target, 2):
        held(outcome)


# The table


def test_the_table_is_what_came_of_it() -> None:
    shown = table([Outcome("guessing", "a code", 1_000_000, 0, "nothing")])
    assert shown.splitlines()[2] == "| guessing | a code | 1,000,000 | 0 | nothing |"
    with pytest.raises(AssertionError):
        held(Outcome("guessing", "a code", 10, 1))
