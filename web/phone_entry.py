"""The phone field: what its template shows at first, and what its script fetches when it comes to that.

Everything fetched is the same for all visitors and holds its version in the address: browsers and proxies keep it.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import phonenumbers
from flask import Blueprint, Response, g, request, url_for
from phonenumbers import PhoneNumberFormat
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from gateway import errors
from web import countries
from web.visitor import home_region

phone_entry = Blueprint("phone_entry", __name__, url_prefix="/widget/countries/<lang>/<version>")

_LONGEST_WISH = 500  # characters of an Accept-Language; browsers send 20 to 100
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class PhoneField:
    """The country that a national number is read as of, and what the script needs to go on from there."""

    region: str
    code: str
    country: str
    example: str
    plan: str
    zones: str  # of the country: a browser in another one asks for a better guess; empty where none is wanted
    address: str
    only: str  # the countries to choose from; empty: all


def phone_field(only: frozenset[str] = frozenset(), region: str = "") -> PhoneField:
    """The field of the request's visitor, or of a country, for phones of these countries, or all."""
    known, region = bool(region), region or visitor_region()
    if only and region not in only:
        region = min(only)
    code = countries.calling_code(region)
    settled = known or _chosen_region() or _claimed_zone()
    return PhoneField(
        region=region,
        code=code,
        country=countries.name(region, g.lang),
        example=countries.example(region),
        plan=msgspec.json.encode(countries.plan(code, g.lang)).decode(),
        zones="" if settled else " ".join(countries.country_zones(region)),
        address=url_for("phone_entry.listing", lang=g.lang, version=countries.VERSION),
        only=" ".join(sorted(only)),
    )


def at_home(phone: str) -> tuple[str, str]:
    """A phone's country, and what of it stands beside that country's code; of no country, all of it."""
    number = phonenumbers.parse(phone)
    region = phonenumbers.region_code_for_number(number) or ""
    if not countries.is_country(region):
        return "", phone
    written = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    return region, written.removeprefix(f"+{number.country_code}").strip()


def visitor_region() -> str:
    """The country chosen in the form that was posted; else the likeliest one."""
    wished = request.headers.get("Accept-Language", "")[:_LONGEST_WISH]
    guess = home_region(parse_accept_header(wished, LanguageAccept), _claimed_zone(), g.lang)
    return _chosen_region() or guess or countries.FALLBACK


def _chosen_region() -> str:
    chosen = request.form.get("region", "")
    return chosen if countries.is_country(chosen) else ""


def _claimed_zone() -> str:
    zone: str = request.form.get("time_zone") or request.args.get("tz") or g.time_zone
    return zone


@phone_entry.get("/")
def listing(lang: str, version: str) -> Any:
    """`{frequent: [ISO code], countries: [[ISO code, calling code, name]]}`."""
    return _kept(version, {"frequent": countries.frequent(lang), "countries": countries.listing(_known(lang))})


@phone_entry.get("/<int:code>")
def plan(lang: str, version: str, code: int) -> Any:
    """How numbers of a calling code are written: `countries.Plan`, as an array."""
    found = countries.plan(str(code), _known(lang))
    if found is None:
        raise errors.NotFound
    return _kept(version, found)


@phone_entry.get("/zone/<path:zone>")
def zone(lang: str, version: str, zone: str) -> Any:
    """`[ISO code, plan]` of the country of a time zone; null for a zone of none."""
    region = countries.zone_country(zone)
    if not region:
        return _kept(version, None)
    return _kept(version, [region, countries.plan(countries.calling_code(region), _known(lang))])


def _known(lang: str) -> str:
    if lang not in g.languages:
        raise errors.NotFound
    return lang


def _kept(version: str, found: Any) -> Response:
    lasting = _FOREVER if version == countries.VERSION else "no-store"
    headers = {"Cache-Control": lasting}
    return Response(msgspec.json.encode(found), content_type="application/json", headers=headers)
