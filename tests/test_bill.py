"""The bill guard: where a project sends, how much a day, and what it stops by itself."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import phonenumbers
import pytest
from click.testing import CliRunner

from gateway import errors
from gateway.bill.countries import _region, allows, read_countries
from gateway.bill.watch import BillWatch, find_pumps
from gateway.channels import Channel
from gateway.cli import main
from gateway.contact import parse_contact
from gateway.delivery import Courier
from gateway.doctor import examine
from gateway.limits.subjects import country_prefix, range_prefix
from gateway.lines import Line
from gateway.projects import KeyPair, ProjectSettings, change_settings
from gateway.providers import Message, PermanentError, Receipt
from gateway.settings import Settings, SettingsError
from gateway.store import Outcome, Turnout
from gateway.store.entries import Wanted
from gateway.verbs import Caller, Created, Draft
from tests.delivering import claim, finish
from tests.figures import Figure
from tests.servers import PUBLIC, Servers
from tests.world import World, make_world, new_phone

RUSSIAN, KAZAKH, BRITISH, JAMAICAN = "+79522966236", "+77012345678", "+447400123456", "+18765551234"
NOBODY_ELSE: dict[str, Any] = dict.fromkeys(  # these limits are not what is tested here
    ("limit_sends_prefix", "limit_sends_project", "limit_sends_address"), "3600000/3600"
)


@pytest.fixture
def shop(tmp_path: Path) -> World:
    return make_world(tmp_path, **NOBODY_ELSE)


def choose(world: World, *changes: str) -> None:
    project = world.caller().project
    world.gateway.store.change_project(project.id, change_settings(project.settings, changes))
    world.gateway.projects.forget()


def without_bot(world: World) -> None:
    choose(world, "channels=sms,whatsapp,viber,email")


def types(created: Created) -> list[str]:
    return [channel.type for channel in created.channels]


def refusal(world: World, to: str, channel: Channel | None = None, **options: Any) -> errors.GatewayError:
    with pytest.raises(errors.GatewayError) as refused:
        world.create(to, channel=channel, **options)
    return refused.value


# Countries


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ("RU,KZ,+44", ("RU", "KZ", "+44")),
        (" ru , RU ,", ("RU",)),
        ("all", ("all",)),
        ("ALL", ("all",)),
        ("+1876", ("+1876",)),
        ("", ()),
    ],
)
def test_countries_are_read(names: str, read: tuple[str, ...]) -> None:
    assert read_countries(names.split(",")) == read


@pytest.mark.parametrize(
    "names", ["XX", "Russia", "44", "+", "+0", "+999", "all,RU", "001", "+44 7", "+79522966236"]
)
def test_what_names_no_country_is_refused(names: str) -> None:
    with pytest.raises(ValueError, match=r"country|alone"):
        read_countries(names.split(","))


@pytest.mark.parametrize(
    ("countries", "allowed"),
    [
        ((), {RUSSIAN, KAZAKH, BRITISH, JAMAICAN}),
        (("all",), {RUSSIAN, KAZAKH, BRITISH, JAMAICAN}),
        (("RU",), {RUSSIAN}),
        (("KZ", "+44"), {KAZAKH, BRITISH}),
        (("+7",), {RUSSIAN, KAZAKH}),
        (("US", "+1876"), {JAMAICAN}),
        (("GB",), {BRITISH}),
    ],
)
def test_countries_that_share_a_calling_code_are_told_apart(countries: tuple[str, ...], allowed: set[str]) -> None:
    phones = (RUSSIAN, KAZAKH, BRITISH, JAMAICAN)
    assert {phone for phone in phones if allows(countries, phone)} == allowed


def test_a_phone_s_country_is_what_phonenumbers_says() -> None:
    made = random.Random(1)
    for _ in range(20_000):
        code = made.choice((1, 7, 39, 44, 47, 61, 212, 262, 358, 500, 590, 599))
        phone = f"+{code}{''.join(made.choices('0123456789', k=made.choice((8, 9, 10))))}"
        asked = phonenumbers.region_code_for_number(phonenumbers.parse(phone)) or ""
        assert _region.__wrapped__(phone) == asked, phone


def test_codes_that_cost_money_go_to_the_project_s_countries_alone(shop: World) -> None:
    choose(shop, "countries=RU,KZ", "countries_sms=RU")
    assert types(shop.create(RUSSIAN)) == ["telegram", "whatsapp", "viber", "sms"]
    assert types(shop.create(KAZAKH)) == ["telegram", "whatsapp", "viber"]
    created = shop.create(BRITISH)
    assert (created.sent_to, types(created)) == ("telegram", ["telegram"])
    assert types(shop.create("ann@example.com")) == ["email"]
    for channel in (Channel.SMS, Channel.WHATSAPP, Channel.VIBER):
        refused = refusal(shop, BRITISH, channel)
        assert (refused.status, refused.sys_message) == (409, "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY")
        with pytest.raises(errors.CountryNotAllowed):
            shop.gateway.send(shop.caller(), created.session_id, channel)
    assert [face.type for face in shop.gateway.channels(shop.caller(), created.session_id)] == ["telegram"]
    assert [face.type for face in shop.gateway.progress(shop.caller(), created.session_id).channels] == [
        "telegram"
    ]
    with pytest.raises(errors.CountryNotAllowed):
        shop.gateway.send(shop.caller(), shop.create(KAZAKH).session_id, Channel.SMS)


def test_where_no_channel_is_left_it_is_said_in_the_visitors_language(shop: World) -> None:
    without_bot(shop)
    choose(shop, "countries=RU")
    for send in (True, False):
        refused = refusal(shop, BRITISH, send=send)
        assert refused.sys_message == "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY"
        assert refused.text("de") not in ("", refused.text("en"))


def test_a_forbidden_channel_does_not_take_over(shop: World) -> None:
    without_bot(shop)
    choose(shop, "countries_viber=RU", "countries_whatsapp=RU", "countries=GB,RU")
    failed = fail_everywhere(shop, BRITISH)
    assert failed == {"sms": "failed"}
    assert fail_everywhere(shop, RUSSIAN) == {"sms": "failed", "whatsapp": "failed", "viber": "failed"}


def fail_everywhere(world: World, to: str) -> dict[Channel, str]:
    """Where each message fails for good, as a report says it of every other one."""
    store = world.gateway.store
    session_id = world.create(to, channel=Channel.SMS).session_id
    for number in range(9):
        for claimed in claim(store, world.clock(), 1000, list(Channel), 10):
            if number % 2:
                finish(store, [Outcome(claimed.id, "sent", f"R{claimed.id}")], world.clock())
                carried = store.carried(claimed.channel, f"R{claimed.id}")
                assert carried
                instead, ceilings = world.gateway.reach.instead(carried, claimed.channel, active=False)
                store.report(claimed.channel, f"R{claimed.id}", "failed", "", instead, world.clock(), ceilings)
            else:
                instead, ceilings = world.gateway.reach.instead(claimed, claimed.channel, active=False)
                finish(store, [Outcome(claimed.id, "failed", instead=instead, ceilings=ceilings)], world.clock())
    return dict(world.gateway.progress(world.caller(), session_id).deliveries)


def test_a_server_s_own_message_obeys_too(shop: World) -> None:
    choose(shop, "countries=RU")
    secret = shop.caller("sk_development")
    with pytest.raises(errors.CountryNotAllowed):
        shop.gateway.manual_send(secret, Draft(parse_contact(BRITISH), Channel.SMS))
    assert shop.gateway.manual_send(secret, Draft(parse_contact(RUSSIAN), Channel.SMS)).message_id
    shop.activate(BRITISH)
    assert shop.gateway.manual_send(secret, Draft(parse_contact(BRITISH), Channel.TELEGRAM)).message_id


def test_telegram_by_another_provider_costs_money_and_the_bot_does_not(tmp_path: Path) -> None:
    world = make_world(tmp_path, telegram_url="webhook+https://telegram.example.com")
    choose(world, "countries=RU", "ceiling_telegram=1")
    assert world.create(RUSSIAN).channels[0].is_active
    created = world.create(BRITISH)
    assert (created.sent_to, created.channels[0].is_active) == ("telegram", False)
    progress = world.gateway.progress(world.caller(), created.session_id)
    assert progress.deliveries == {"telegram": "parked"}, "its bot is left, for nothing"
    assert world.activate(BRITISH) == 1
    world.gateway.bill.forget(world.caller().project)
    another = world.create(new_phone(), channel=Channel.TELEGRAM)
    assert not another.channels[0].is_active, "used up for today, but for the bot"
    claimed = claim(world.gateway.store, world.clock(), 1000, [Channel.TELEGRAM], 10)[-1]
    assert world.gateway.reach.only_bot(claimed)


class Refusing:
    """A provider that counts who came, and takes nothing for good."""

    def __init__(self) -> None:
        self.asked = 0

    async def send(self, message: Message) -> Receipt:  # noqa: ARG002
        self.asked += 1
        raise PermanentError("no")


def test_where_the_bot_fails_its_dear_neighbour_is_not_asked_for_a_forbidden_country(tmp_path: Path) -> None:
    world = make_world(tmp_path, telegram_url="webhook+https://telegram.example.com")
    choose(world, "countries=RU")
    bot, dear = Refusing(), Refusing()
    courier = Courier(world.gateway, {Channel.TELEGRAM: Line((bot, dear), (0, 0))}, world.settings)  # type: ignore[arg-type]
    for phone, both in ((BRITISH, 0), (RUSSIAN, 1)):
        world.activate(phone, chat_id=len(phone))
        world.create(phone, channel=Channel.TELEGRAM)
        for _ in range(3):
            for claimed in claim(world.gateway.store, world.clock(), 1000, [Channel.TELEGRAM], 10):
                finish(
                    world.gateway.store,
                    [asyncio.run(courier._attempt(claimed, courier._ready(claimed)))],
                    world.clock(),
                )
        assert dear.asked == both
    assert bot.asked == 2


# How an operator chooses


def kodgate(*words: str, typed: str = "") -> tuple[int, str]:
    """Exit code and everything said."""
    ended = CliRunner().invoke(main, words, input=typed)
    return ended.exit_code, ended.output


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


@pytest.mark.usefixtures("elsewhere")
def test_a_project_is_not_made_before_its_countries_are_named() -> None:
    for words in ((), ("--countries", ""), ("--countries", "Moscow")):
        code, said = kodgate("project", "create", "Shop", *words)
        assert (code, len(said.splitlines())) == (1, 1)
        assert "--countries" in said
    assert kodgate("project", "list")[1].splitlines() == ["1\tKodgate"]
    assert kodgate("project", "create", "Shop", "--countries", "RU,+44")[0] == 0
    assert "countries=RU,+44" in kodgate("project", "show", "2")[1].splitlines()
    assert kodgate("project", "set", "2", "countries=DE", "countries_sms=de,at")[0] == 0
    assert {"countries=DE", "countries_sms=DE,AT"} <= set(kodgate("project", "show", "2")[1].splitlines())
    assert kodgate("project", "set", "2", "countries_sms=")[0] == 0
    for wrong in ("countries=", "countries=Moscow", "ceiling_sms=-1", "ceiling_sms=many"):
        code, said = kodgate("project", "set", "2", wrong)
        assert (code, len(said.splitlines())) == (1, 1)
        assert wrong.partition("=")[0] in said


@pytest.mark.usefixtures("elsewhere")
def test_on_a_terminal_it_is_asked_for_and_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli._is_terminal", lambda: True)
    code, said = kodgate("project", "create", "Shop", typed="RU,KZ\n")
    assert code == 0
    assert "cost money" in said
    assert "countries=RU,KZ" in kodgate("project", "show", "2")[1].splitlines()


def test_production_does_not_make_the_first_project_before_its_countries_are_named(tmp_path: Path) -> None:
    site: dict[str, Any] = {
        "kodgate_env": "production",
        "public_url": "https://login.example.com",
        "secret_keys": "s" * 40,
        "project_public_key": "pk_site",
        "project_secret_key": "sk_site_0123456789",
        "telegram_api_url": "http://127.0.0.1:9",
        "sms_url": "webhook+https://sms.example.com",
    }
    with pytest.raises(SettingsError, match="PROJECT_COUNTRIES") as refused:
        make_world(tmp_path, **site)
    assert len(str(refused.value).splitlines()) == 1
    world = make_world(tmp_path, **site, project_countries="ru,KZ")
    assert world.gateway.store.projects()[0].settings.countries == ("RU", "KZ")
    again = make_world(tmp_path, **site, project_countries="US")
    assert again.gateway.store.projects()[0].settings.countries == ("RU", "KZ"), (
        "it is the operator's from then on"
    )
    with pytest.raises(ValueError, match="PROJECT_COUNTRIES"):
        make_world(tmp_path, **site, project_countries="Moscow")


def test_a_project_from_before_goes_on_and_doctor_says_what_is_missing(shop: World) -> None:
    made = shop.gateway.store.add_project(ProjectSettings(name="Old"), shop.clock())
    shop.gateway.projects.forget()
    old = Caller(msgspec.structs.replace(made))
    assert len(shop.gateway.create(old, parse_contact(BRITISH)).channels) == 3
    wrong = [finding for finding in examine(shop.settings) if not finding.well and "countries" in finding.subject]
    assert [finding.subject for finding in wrong] == [f"countries of project {made.id}"]
    assert f"kodgate project set {made.id} countries=" in wrong[0].text
    named = shop.settings.model_copy(update={"project_countries": ("RU",)})
    assert shop.gateway.store.projects()[0].settings.countries == ("all",), named


# Ceilings


def test_a_channel_that_is_used_up_gives_way_to_the_others(shop: World) -> None:
    without_bot(shop)
    choose(shop, "ceiling_sms=3", "ceiling_whatsapp=2", "default_channel=sms")
    sent = [shop.create(new_phone()) for _ in range(5)]
    assert [one.sent_to for one in sent] == ["sms"] * 3 + ["whatsapp"] * 2
    assert types(sent[3]) == ["whatsapp", "viber"]
    full = refusal(shop, new_phone(), Channel.SMS)
    assert (full.status, full.sys_message) == (409, "ERROR_PROJECT_HAS_NO_CHANNEL")
    shop.clock.pass_seconds(1)
    assert types(shop.create(new_phone(), send=False)) == ["viber"], "seen at once or within a second"
    with pytest.raises(errors.ChannelUsedUp):
        shop.gateway.send(shop.caller(), sent[4].session_id, Channel.SMS)
    with pytest.raises(errors.ChannelUsedUp):
        shop.gateway.manual_send(shop.caller("sk_development"), Draft(parse_contact(RUSSIAN), Channel.SMS))
    choose(shop, "ceiling_viber=0")
    shop.clock.pass_seconds(1)
    nothing = refusal(shop, new_phone())
    assert (nothing.status, nothing.sys_message) == (409, "ERROR_PROJECT_HAS_NO_CHANNELS")
    assert shop.create("ann@example.com").sent_to == "email"
    shop.clock.pass_seconds(86_400)
    assert shop.create(new_phone()).sent_to == "sms", "another day"


def test_a_repeated_server_s_message_is_answered_as_the_first_time_though_the_channel_is_used_up(
    shop: World,
) -> None:
    choose(shop, "ceiling_sms=1")
    secret, draft = shop.caller("sk_development"), Draft(parse_contact(RUSSIAN), Channel.SMS, repeat_key="one")
    first = shop.gateway.manual_send(secret, draft)
    assert shop.gateway.manual_send(secret, draft) == first
    with pytest.raises(errors.ChannelUsedUp):
        shop.gateway.manual_send(secret, Draft(parse_contact(RUSSIAN), Channel.SMS))


def test_the_operator_hears_once_of_a_ceiling(shop: World) -> None:
    choose(shop, "ceiling_sms=2", "ceiling_viber=0")
    for _ in range(2):
        shop.create(new_phone(), channel=Channel.SMS)
    for _ in range(3):
        watch(shop).look()
    [told] = shop.gateway.store.audit(Wanted(action="guard"))
    assert (told.actor, told.action, told.reason) == ("system", "guard.ceiling", "used up")
    assert "sms: 2 messages" in told.detail


# The conversion watch


def watch(world: World) -> BillWatch:
    gateway = world.gateway
    return BillWatch(gateway.store, gateway.projects, gateway.bill, world.settings, world.clock)


@pytest.mark.parametrize(
    ("phone", "prefix"),
    [
        (RUSSIAN, "+79522"),
        (KAZAKH, "+77012"),
        (BRITISH, "+44740"),
        (JAMAICAN, "+18765"),
        ("+4915123456789", "+49151"),
        ("+6834002", "+683"),
    ],
)
def test_a_range_leaves_six_digits_out_where_the_country_has_so_many(phone: str, prefix: str) -> None:
    assert range_prefix(phone) == prefix
    assert country_prefix(prefix) == country_prefix(phone), "a range tells its country"


def test_a_country_is_stopped_for_what_its_ranges_do_not_explain() -> None:
    pump, honest = Turnout(1, "+44740", 200, 0), Turnout(1, "+44790", 60, 40)
    thin = [Turnout(1, f"+4477{digit}", 12, 0) for digit in range(10)]
    elsewhere = Turnout(2, "+44740", 49, 0)
    assert find_pumps([pump, honest, elsewhere], 50, 0.1) == [pump]
    assert find_pumps([pump, *thin, elsewhere], 50, 0.1) == [pump, Turnout(1, "+44", 120, 0)]
    assert find_pumps([honest, *thin], 50, 0.1) == []
    assert find_pumps([Turnout(1, "+44740", 50, 5)], 50, 0.1) == []


HONEST = {  # how a country's phones begin, and how many of its visitors enter their codes
    "+7952": 0.8,
    "+7701": 0.7,
    "+44790": 0.6,
    "+49151": 0.75,
    "+9055": 0.65,
}
PUMP = "+44740"  # beside honest Britons


def visitor(chance: random.Random) -> tuple[str, float]:
    prefix, share = chance.choice(list(HONEST.items()))
    lengths = {"+7": 12, "+4": 13, "+9": 13}
    rest = lengths[prefix[:2]] - len(prefix)
    return f"{prefix}{chance.randrange(10**rest):0{rest}d}", share


def log_in(world: World, phone: str, share: float, chance: random.Random) -> bool:
    """Whether the code was sent; honest visitors enter it after some seconds, or never."""
    try:
        created = world.gateway.create(world.caller(), parse_contact(phone), Channel.SMS)
    except (errors.CountryNotAllowed, errors.BadRequest):
        return False
    if chance.random() < share:
        world.clock.pass_seconds(chance.uniform(0.01, 0.05))
        world.gateway.check(world.caller(), created.session_id, world.code_of(created.session_id))
    return True


def test_of_honest_traffic_beside_a_pump_only_the_pump_is_stopped(shop: World, figure: Figure) -> None:
    choose(shop, "challenge=off")
    guard, chance = watch(shop), random.Random(1)
    sent: Counter[str] = Counter()
    looked_at = shop.clock()
    for second in range(900):
        shop.clock.pass_seconds(1)
        if second % 2 == 0:
            phone, share = visitor(chance)
            sent["honest"] += log_in(shop, phone, share, chance)
        if second >= 120:
            phone = f"{PUMP}{chance.randrange(10**7):07d}"
            sent["pump"] += log_in(shop, phone, 0.0, chance)
            sent["pump offered"] += 1
        if shop.clock() - looked_at >= 5000:
            guard.look()
            looked_at = shop.clock()
    stops = shop.gateway.store.stops()
    figure(
        f"bill guard: a pump of one a second is stopped after {sent['pump']} messages of {sent['pump offered']}; "
        f"honest visitors beside it: {sent['honest']} messages"
    )
    assert [stop.prefix for stop in stops] == [PUMP]
    assert sent["pump"] < 150
    assert sent["honest"] > 300
    assert log_in(shop, "+447901234567", 1, chance), "the rest of the country goes on"
    assert refusal(shop, f"{PUMP}0123456", Channel.SMS).sys_message == "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY"
    created = shop.create(f"{PUMP}0123456")
    assert (created.sent_to, types(created)) == ("telegram", ["telegram"]), "the bot is free"
    [told] = shop.gateway.store.audit(Wanted(action="guard"))
    assert (told.actor, told.action, told.reason) == ("system", "guard.stop", "pumped")
    assert told.detail.startswith(f"{PUMP}: 0 of ")


def test_a_small_site_with_a_bad_day_is_not_stopped(shop: World) -> None:
    guard, chance = watch(shop), random.Random(2)
    for _ in range(24):  # 40 in any two hours, of which the provider delivers none, without saying so
        for _ in range(20):
            shop.clock.pass_seconds(180)
            log_in(shop, visitor(chance)[0], 0, chance)
        guard.look()
    assert shop.gateway.store.stops() == []


def test_a_country_of_many_ranges_is_stopped_where_hardly_anybody_logs_in(shop: World) -> None:
    choose(shop, "challenge=off")
    guard, chance = watch(shop), random.Random(3)
    for _ in range(300):
        shop.clock.pass_seconds(1)
        phone = f"+447{chance.choice((4, 5, 7, 8, 9))}{chance.randrange(10**8):08d}"
        log_in(shop, phone, 0, chance)
        log_in(shop, *visitor_of("+7952", 0.7, chance), chance)
        guard.look()
    assert [stop.prefix for stop in shop.gateway.store.stops()] == ["+44"]


def visitor_of(prefix: str, share: float, chance: random.Random) -> tuple[str, float]:
    return f"{prefix}{chance.randrange(10**7):07d}", share


def test_a_stop_ends_by_itself_and_comes_back_for_longer_where_the_pump_does(shop: World) -> None:
    choose(shop, "challenge=off")
    guard, chance = watch(shop), random.Random(4)
    lengths = []
    for _ in range(3):
        for _ in range(60):
            shop.clock.pass_seconds(1)
            assert log_in(shop, f"{PUMP}{chance.randrange(10**7):07d}", 0, chance)
        assert guard.look() == [], "codes of the last minute may still be entered"
        shop.clock.pass_seconds(61)
        [stop] = guard.look()
        assert guard.look() == []
        lengths.append((stop.until - shop.clock()) // 3_600_000)
        shop.clock.now = stop.until
        assert guard.look() == [], "what came before is no longer held against it"
    assert lengths == [1, 2, 4]


def test_a_lift_holds_against_the_same_old_sessions_and_ends(shop: World) -> None:
    choose(shop, "challenge=off")
    guard, chance = watch(shop), random.Random(5)

    def pump() -> None:
        for _ in range(60):
            shop.clock.pass_seconds(1)
            log_in(shop, f"{PUMP}{chance.randrange(10**7):07d}", 0, chance)
        shop.clock.pass_seconds(61)

    pump()
    [stop] = guard.look()
    now = shop.clock()
    entry = msgspec.structs.replace(shop.gateway.store.audit(Wanted(action="guard"))[0], action="guard.lift")
    assert shop.gateway.store.lift(1, stop.prefix, now, now + 86_400_000, entry)
    assert guard.look() == []
    pump()
    assert guard.look() == [], "the operator knows better, for a day"
    shop.clock.now = now + 86_400_000
    assert guard.look() == []
    pump()
    assert [again.prefix for again in guard.look()] == [PUMP]


@pytest.mark.usefixtures("elsewhere")
def test_the_operator_lists_lifts_and_stops_by_hand() -> None:
    assert kodgate("guard") == (0, "Nothing is stopped.\n")
    assert kodgate("guard", "stop", "1", "+44740")[0] == 0
    assert kodgate("guard", "stop", "1", "+1876", "--hours", "2")[0] == 0
    assert kodgate("project", "set", "1", "ceiling_sms=0")[0] == 0
    listed = kodgate("guard")[1].splitlines()
    assert [line.split("  ")[:2] for line in listed] == [
        ["project 1", "+1876"],
        ["project 1", "+44740"],
        ["project 1", "SMS"],
    ]
    assert "kodgate guard lift 1 +44740" in listed[1]
    assert "until it is lifted" in listed[1]
    said = kodgate("doctor")[1]
    assert all(line in said for line in listed)
    assert kodgate("guard", "lift", "1", "+44740")[0] == 0
    assert "lifted by an operator" in kodgate("guard")[1]
    for words in (("lift", "1", "+44740"), ("lift", "1", "44"), ("stop", "1", "Jamaica"), ("stop", "9", "+44")):
        code, said = kodgate("guard", *words)
        assert (code, len(said.splitlines())) == (1, 1)
    log = kodgate("audit", "--action", "guard")[1].splitlines()
    assert [line.split("  ")[1:3] for line in log] == [
        ["operator", "guard.stop"],
        ["operator", "guard.stop"],
        ["operator", "guard.lift"],
    ]


def test_every_process_sees_a_stop_within_a_second(shop: World) -> None:
    other = make_world(Path(shop.settings.database_url.removeprefix("sqlite:///")).parent, shop.clock)
    assert shop.create(BRITISH, channel=Channel.SMS)
    assert other.create("+447400123457", channel=Channel.SMS)
    stop = find_pumps([Turnout(1, PUMP, 60, 0)], 50, 0.1)[0]
    assert watch(shop)._is_news(watch(shop)._stop(stop, None, shop.clock()))
    shop.clock.pass_seconds(1)
    for world in (shop, other):
        assert refusal(world, "+447400123458", Channel.SMS).sys_message == "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY"


# The pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """web alone, for Kazakhstan and Russia, with Telegram or, in project 2, without."""
    folder = tmp_path_factory.mktemp("site")
    world = make_world(folder)
    choose(world, "countries=KZ,RU")
    store, keys = world.gateway.store, KeyPair("pk_paid", "sk_paid")
    made = store.add_project(
        ProjectSettings(name="Paid", channels=(Channel.SMS, Channel.VIBER), countries=("RU",)), world.clock()
    )
    world.gateway.projects.set_keys(made.id, keys, 0)
    world.gateway.close()
    with Servers(folder, ("web",)) as running:
        yield running


def begin(site: Servers, key: str, phone: str) -> httpx.Response:
    opened = site.http.get(f"{site.web}/widget/", params={"key": key, "lang": "de"})
    assert (' data-only="RU"' in opened.text) == (key == "pk_paid"), "where the bot is, everybody can log in"
    form = {
        "w": opened.text.split('name="w" value="')[1].split('"')[0],
        "by": "phone",
        "to": phone,
        "region": "GB",
    }
    return site.http.post(f"{site.web}/widget/start", data=form, follow_redirects=True)


def test_the_widget_says_that_a_number_is_not_sent_to_and_keeps_it(site: Servers) -> None:
    refused = begin(site, "pk_paid", BRITISH)
    assert refused.status_code == 409
    assert "An diese Nummer sendet diese Website keine Codes." in refused.text
    assert BRITISH in refused.text
    assert begin(site, "pk_paid", RUSSIAN).status_code == 200
    page = begin(site, "pk_development", BRITISH)
    assert page.status_code == 200
    assert 'value="sms"' not in page.text


def test_a_way_that_was_closed_meanwhile_is_refused_on_the_codes_page(site: Servers) -> None:
    page = begin(site, "pk_development", BRITISH).text
    form = {"w": page.split('name="w" value="')[1].split('"')[0], "type": "sms"}
    refused = site.http.post(f"{site.web}/widget/send", data=form, follow_redirects=True)
    assert "auf diesem Weg keine Codes" in refused.text
    assert 'name="code"' in refused.text


def test_the_api_says_it_with_409(site: Servers) -> None:
    body = {"to": BRITISH, "type": "sms"}
    answer = site.http.post(f"{site.web}/session/create", json=body, headers={**PUBLIC, "accept-language": "ru"})
    assert answer.status_code == 409
    assert answer.json()["sys_message"] == "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY"
    assert answer.json()["error"].startswith("Этим способом")
    created = site.create(BRITISH, "telegram")
    assert [channel["type"] for channel in created["channels"]] == ["telegram"]
    legacy = {"session_id": created["session_id"], "type": "sms"}
    answer = site.http.post(f"{site.web}/api/v2/message/send", json=legacy, headers=PUBLIC)
    assert (answer.status_code, answer.json()["sys_message"]) == (409, "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY")
