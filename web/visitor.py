"""What a request tells of the visitor: the browser, the place, and the country their phone is likely from."""

import re

from werkzeug.datastructures import LanguageAccept

from gateway.place import known_place
from web.countries import is_country, zone_country

_BROWSERS = (
    ("YaBrowser", "Yandex Browser"),
    ("OPR/", "Opera"),
    ("Edg", "Edge"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
_HOME = {"ru": "RU", "uk": "UA", "kk": "KZ", "uz": "UZ", "de": "DE", "es": "ES", "tr": "TR", "be": "BY"}
_TERRITORY = re.compile(r"-([A-Z]{2})\b")


def browser_name(user_agent: str) -> str:
    """`Chrome, Android`: what a person would call it. Empty where it is none that we know."""
    names = (_first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent))
    return ", ".join(name for name in names if name)


def home_region(languages: LanguageAccept, zone: str = "", lang: str = "") -> str | None:
    """The country (`RU`) that a number typed without its code most likely belongs to.

    Where the clock is set tells most: browsers say en-US in all the world and ru-RU from Riga to Tashkent. Then
    come the languages' own territories and homes, then the home of the page's language `lang`.
    """
    if country := zone_country(zone):
        return country
    for tag in languages.values():
        territory = _TERRITORY.search(tag)
        if territory and is_country(territory.group(1)):
            return territory.group(1)
        if home := _HOME.get(tag.lower()):
            return home
    return _HOME.get(lang)


def place_of(country: str | None, time_zone: str) -> str:
    """Where the visitor is, as `Caller.place` wants it; empty where nobody knows.

    `country` is what the operator's proxy says (`COUNTRY_HEADER`), `time_zone` what the browser claims.
    """
    return known_place(country or "") or known_place(time_zone)


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for mark, name in names if mark in user_agent), "")
