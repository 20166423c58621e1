"""Where a login is asked from, roughly and without asking anybody: a country's code, or the browser's time zone.

What is stored is raw, `DE` or `Europe/Berlin`; `place_name` says it in the reader's language. A time zone is the
browser's own claim, so texts must call the place approximate.
"""

from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

_NOWHERE = ("EU", "EZ", "UN", "QO", "ZZ", "XA", "XB")  # in Unicode's list, but no country
_PLACES = 2048  # more than there are time zones and countries; times the languages in use, the popular ones stay


def known_place(claimed: str) -> str:
    """The country or time zone, as it is called in Unicode's tables; empty for whatever is neither."""
    if not claimed or len(claimed) > 64:
        return ""
    if len(claimed) == 2:
        code = claimed.upper()
        return code if code in _countries() else ""
    zone = get_global("zone_aliases").get(claimed, claimed)
    return zone if get_global("zone_territories").get(zone) in _countries() else ""


@lru_cache(_PLACES)
def place_name(place: str, lang: str) -> str:
    """`Germany (Berlin)`, or `Germany` where only the country is known; empty for an unknown place."""
    place = known_place(place)
    if not place:
        return ""
    try:
        locale = Locale.parse(lang)
    except (UnknownLocaleError, ValueError):
        locale = Locale("en")
    if len(place) == 2:
        return str(locale.territories.get(place, place))
    code = get_global("zone_territories")[place]
    country = locale.territories.get(code, code)
    # As babel.dates.get_timezone_location, which also wants the system's zone files and adds the word "Time".
    zones = (locale.time_zones.get(name, {}) for name in (place, *_former_names(place)))
    city = next((zone["city"] for zone in zones if "city" in zone), place.rpartition("/")[2].replace("_", " "))
    return country if city == country else f"{country} ({city})"


def _former_names(zone: str) -> list[str]:
    """Kyiv's translations still stand under Europe/Kiev."""
    return [former for former, name in get_global("zone_aliases").items() if name == zone]


@lru_cache(1)
def _countries() -> frozenset[str]:
    names = [str(name) for name in Locale("en").territories]
    return frozenset(name for name in names if len(name) == 2 and name.isalpha() and name not in _NOWHERE)
