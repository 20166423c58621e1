"""Contacts for tests: their code never changes, nothing goes out to them, and who verifies is told."""

import asyncio

import msgspec
import pytest

from gateway import errors
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.delivery import Courier
from gateway.lines import Line
from gateway.projects import ProjectSettings, change_settings
from gateway.providers import Message, Receipt
from gateway.verbs import Draft
from tests.servers import becomes
from tests.world import World, new_phone

TESTER = "+79520000001"
REVIEWER = "review@example.com"


class Counting:
    """A provider that notes to whom it is asked to send."""

    def __init__(self) -> None:
        self.sent_to: list[str] = []

    async def send(self, message: Message) -> Receipt:
        self.sent_to.append(message.to)
        return Receipt()


@pytest.fixture
def world(world: World) -> World:
    [project] = world.gateway.store.projects()
    chosen = change_settings(project.settings, [f"test_codes={TESTER}=004242,{REVIEWER}=111111"])
    world.gateway.store.change_project(project.id, chosen)
    world.gateway.projects.forget()
    return world


@pytest.mark.parametrize(("to", "code"), [(TESTER, "004242"), (REVIEWER, "111111")])
def test_its_code_is_always_the_same_and_its_login_is_told_apart(world: World, to: str, code: str) -> None:
    for _ in range(2):
        session_id = world.create(to).session_id
        with pytest.raises(errors.WrongCode):
            world.gateway.check(world.caller(), session_id, "9" * len(code))
        checked = world.gateway.check(world.caller(), session_id, code)
        assert checked.is_test
        verified = world.gateway.verify(world.caller("sk_development"), checked.verify_token)
        assert (verified.to, verified.is_test) == (to, True)
        world.clock.pass_seconds(200)


def test_nobody_else_notices(world: World) -> None:
    phone = new_phone()
    session_id = world.create(phone).session_id
    for code in ("004242", "111111"):
        with pytest.raises(errors.WrongCode):
            world.gateway.check(world.caller(), session_id, code)
    checked = world.gateway.check(world.caller(), session_id, world.code_of(session_id))
    assert not checked.is_test
    verified = world.gateway.verify(world.caller("sk_development"), checked.verify_token)
    assert not verified.is_test
    assert b"is_test" not in msgspec.json.encode(verified)


def test_nothing_goes_out_to_it_and_all_looks_sent(world: World) -> None:
    phone = new_phone()
    theirs = world.create(TESTER, channel=Channel.SMS).session_id
    server = world.caller("sk_development")
    world.gateway.manual_send(server, Draft(parse_contact(TESTER), Channel.SMS))
    others = world.create(phone, channel=Channel.SMS).session_id
    provider = Counting()

    async def run() -> None:
        courier = Courier(world.gateway, {Channel.SMS: Line((provider,), (0,))}, world.settings)  # type: ignore[arg-type]
        task = asyncio.create_task(courier.run())
        store = world.gateway.store
        await becomes(
            lambda: all(row.sends[0].state == "sent" for row in store.sessions((theirs, others)).values())
        )
        await becomes(lambda: store.backlog() == [])
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(run())
    assert provider.sent_to == [phone]


def test_a_code_that_a_site_brings_is_not_theirs(world: World) -> None:
    """Nobody would be told it."""
    server = world.caller("sk_development")
    session_id = world.gateway.create(server, parse_contact(TESTER), Channel.SMS, code="987654").session_id
    world.clock.pass_seconds(61)
    world.gateway.send(server, session_id, Channel.SMS, code="987654")
    with pytest.raises(errors.WrongCode):
        world.gateway.check(world.caller(), session_id, "987654")
    assert world.gateway.check(world.caller(), session_id, "004242").is_test


def test_a_token_says_so_though_the_contact_is_none_any_more(world: World) -> None:
    checked = world.gateway.check(world.caller(), world.create(TESTER).session_id, "004242")
    [project] = world.gateway.store.projects()
    world.gateway.store.change_project(project.id, change_settings(project.settings, ["test_codes="]))
    world.gateway.projects.forget()
    assert world.gateway.verify(world.caller("sk_development"), checked.verify_token).is_test


def test_a_project_that_has_none_knows_nothing_of_it(world: World) -> None:
    [project] = world.gateway.store.projects()
    world.gateway.store.change_project(project.id, change_settings(project.settings, ["test_codes="]))
    world.gateway.projects.forget()
    session_id = world.create(TESTER).session_id
    with pytest.raises(errors.WrongCode):
        world.gateway.check(world.caller(), session_id, "004242")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("+7 952 000-00-01=00 42-42", (f"{TESTER}=004242",)),
        ("Review@Example.com=111111", (f"{REVIEWER}=111111",)),
        (f"{TESTER}=004242, {REVIEWER}=111111", (f"{TESTER}=004242", f"{REVIEWER}=111111")),
    ],
)
def test_they_are_read_as_people_write_them(given: str, kept: tuple[str, ...]) -> None:
    assert change_settings(ProjectSettings(name="x"), [f"test_codes={given}"]).test_codes == kept


@pytest.mark.parametrize(
    "given",
    ["+79520000001", "12=004242", f"{TESTER}=0042", f"{TESTER}=12345678", f"{TESTER}=ABCDEF"],
)
def test_what_could_not_be_entered_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="test_codes: "):
        change_settings(ProjectSettings(name="x"), [f"test_codes={given}"])
