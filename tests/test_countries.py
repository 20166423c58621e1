"""What the phone field knows of countries, and what it guesses of a visitor's."""

import tracemalloc
from typing import Any

import httpx
import phonenumbers
import pytest
from babel import Locale
from werkzeug.datastructures import LanguageAccept

from gateway.i18n import wished_language
from web import countries
from web.visitor import home_region

from .servers import Servers

EIGHT = ("en", "ru", "uk", "kk", "uz", "es", "de", "tr")


def accept(*tags: str) -> LanguageAccept:
    return LanguageAccept([(tag, 1 - place / 10) for place, tag in enumerate(tags)])


# Guesses


@pytest.mark.parametrize(
    ("zone", "tags", "lang", "region"),
    [
        ("Europe/Berlin", ("en-US", "en"), "en", "DE"),
        ("Asia/Tashkent", ("ru-RU", "ru"), "ru", "UZ"),
        ("Europe/Kyiv", ("ru",), "ru", "UA"),
        ("Europe/Kiev", ("ru",), "ru", "UA"),
        ("Asia/Calcutta", ("en-GB",), "en", "IN"),
        ("UTC", ("de-AT", "de"), "de", "AT"),
        ("", ("ru-KZ",), "ru", "KZ"),
        ("", ("ru",), "ru", "RU"),
        ("", ("en", "uk"), "en", "UA"),
        ("", ("en",), "tr", "TR"),
        ("", ("en-001", "en-AQ"), "en", None),
        ("Antarctica/Troll", (), "en", None),
        ("Nowhere/Atlantis", (), "es", "ES"),
        ("../../etc/passwd", (), "", None),
    ],
)
def test_the_country_is_guessed_from_zone_then_languages(
    zone: str, tags: tuple[str, ...], lang: str, region: str | None
) -> None:
    assert home_region(accept(*tags), zone, lang) == region


# Data


@pytest.mark.parametrize("lang", [*EIGHT, "ar"])
def test_every_country_has_a_name_and_a_code_in_every_language(lang: str) -> None:
    listed = countries.listing(lang)
    assert {region for region, _, _ in listed} == phonenumbers.SUPPORTED_REGIONS
    for region, code, name in listed:
        assert name == Locale(lang).territories[region]
        assert code == str(phonenumbers.country_code_for_region(region))
    assert set(countries.frequent(lang)) <= phonenumbers.SUPPORTED_REGIONS


def test_every_calling_code_has_a_plan_that_names_its_countries() -> None:
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        plan = countries.plan(str(code), "de")
        if regions == ("001",):
            assert plan is None
            continue
        assert plan is not None
        assert tuple(country[0] for country in plan.countries) == regions
    for wrong in ("", "0", "999", "800", "x"):
        assert countries.plan(wrong, "de") is None


def test_a_plan_says_how_numbers_look() -> None:
    plan = countries.plan("7", "ru")
    assert plan is not None
    assert plan.trunk == "8"
    assert plan.countries == (
        ("RU", "Россия", "[3489]", "912 345-67-89"),
        ("KZ", "Казахстан", "7", "771 000 9998"),
    )
    assert countries.Spacing("[349]|8(?:[02-7]|1[1-8])", "3 3-2-2", "3 3-2-2", 2) in plan.spacings


def test_a_country_knows_its_zones_by_all_their_names() -> None:
    assert set(countries.country_zones("UA")) >= {"Europe/Kiev", "Europe/Kyiv"}
    assert "Europe/Berlin" in countries.country_zones("DE")
    assert "Europe/Vienna" not in countries.country_zones("DE")


def test_what_visitors_make_up_is_not_remembered() -> None:
    countries.plan("999", "en"), countries.zone_country("Europe/Berlin")
    tracemalloc.start()
    for number in range(5000):
        made_up = f"{number:0500}"
        assert countries.zone_country(made_up) == ""
        assert countries.plan(f"9{number:0500}", "en") is None
        assert wished_language(f"{number}-{made_up}") is None
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 300_000  # bytes, of 5,000,000 made up


# Served


class Site:
    """The running web process, asked by a browser that has come for the first time."""

    def __init__(self, servers: Servers) -> None:
        self.address = servers.web

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(
            self.address + path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    def read(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, path
        return answer.json()


@pytest.fixture(scope="module")
def site(servers: Servers) -> Site:
    return Site(servers)


def address(what: str = "", lang: str = "en", version: str = countries.VERSION) -> str:
    return f"/widget/countries/{lang}/{version}/{what}"


def test_the_list_is_small_and_kept_for_good(site: Site) -> None:
    answer = site.get(address(lang="ru"))
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "set-cookie" not in answer.headers
    assert int(answer.headers["Content-Length"]) < 4096
    listed = site.read(address(lang="ru"))
    assert listed["frequent"][0] == "RU"
    assert ["DE", "49", "Германия"] in listed["countries"]


def test_every_plan_fits_into_one_packet(site: Site) -> None:
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        answer = site.get(address(str(code)))
        assert answer.status_code == (404 if regions == ("001",) else 200)
        assert int(answer.headers["Content-Length"]) < 1400


def test_a_zone_says_its_country(site: Site) -> None:
    region, plan = site.read(address("zone/America/Argentina/Buenos_Aires"))
    assert (region, plan[0]) == ("AR", "54")
    assert site.read(address("zone/Nowhere/Atlantis")) is None


@pytest.mark.parametrize(
    "path", [address("999"), address("0"), address("x"), address(lang="xx"), address(lang="%2e%2e")]
)
def test_what_there_is_not_is_not_found(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


def test_an_older_pages_address_still_answers_but_is_not_kept(site: Site) -> None:
    assert site.get(address("49", version="0-old")).headers["Cache-Control"] == "no-store"


# The page


KEY = "/widget/?key=pk_development"


@pytest.mark.parametrize(
    ("query", "language", "region"),
    [("", "de-CH", "CH"), ("&tz=Asia/Almaty", "ru-RU", "KZ"), ("&tz=x", "ru", "RU"), ("", "en", "US")],
)
def test_the_page_begins_with_the_likeliest_country(site: Site, query: str, language: str, region: str) -> None:
    page = site.get(KEY + query, accept_language=language).text
    assert f'name="region" value="{region}"' in page
    assert f"+{countries.calling_code(region)}</span>" in page
    assert f'placeholder="{countries.example(region)}"' in page


def token(page: str) -> str:
    return page.split('name="w" value="')[1].split('"')[0]


@pytest.mark.parametrize(
    ("typed", "region", "status"),
    [
        ("0151 23456789", "DE", 303),
        ("0151 23456789", "RU", 400),
        ("+49 151 23456789", "RU", 303),
        ("8 (952) 296-62-36", "RU", 303),
        ("8 (952) 296-62-36", "<script>", 400),
        ("8 (952) 296-62-36", "", 400),
    ],
)
def test_a_number_is_read_as_of_the_posted_country(site: Site, typed: str, region: str, status: int) -> None:
    w = token(site.get(KEY).text)
    answer = httpx.post(
        f"{site.address}/widget/start", data={"w": w, "to": typed, "by": "phone", "region": region}
    )
    assert answer.status_code == status
    if status == 400:
        shown = region if countries.is_country(region) else "US"
        assert f'name="region" value="{shown}"' in answer.text
        assert "<script>" not in answer.text.replace("<script src", "")
