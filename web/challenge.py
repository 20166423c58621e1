"""The challenge on the widget's pages: what the form needs of it, and what the page's policy must allow."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.challenge import ALTCHA, SERVICES
from gateway.challenge.service import script_url
from gateway.projects import Project
from gateway.settings import Settings
from gateway.verbs import Gateway


class Offer(NamedTuple):
    """What a page asks its visitor for. `sources` and `inline_styles` are a foreign script's, for the policy."""

    provider: str
    seconds: int
    site_key: str = ""
    script: str = ""
    object: str = ""
    sources: tuple[str, ...] = ()
    inline_styles: bool = False


class Challenges:
    """Makes the offers."""

    def __init__(self, gateway: Gateway, config: Settings) -> None:
        self._gateway = gateway
        self._config = config

    def offer(self, project: Project, *, demanded: bool = False) -> Offer | None:
        """What the project's pages ask for just now; None: nothing. `demanded`: of this visitor, at any rate."""
        asked = self._gateway.challenge_of(project, demanded=demanded)
        if not asked.enabled or not asked.provider:
            return None
        if asked.provider == ALTCHA:
            return Offer(ALTCHA, self._config.challenge_seconds)
        service = SERVICES[asked.provider]
        script = script_url(service, self._config)
        parts = urlsplit(script)
        return Offer(
            asked.provider,
            self._config.challenge_seconds,
            asked.api_key or "",
            script,
            service.script_object,
            (f"{parts.scheme}://{parts.netloc}", *service.sources),
            service.inline_styles,
        )


def foreign_script(offer: Offer | None, policy: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What a page's policy becomes for a CAPTCHA of somebody else's; an empty directive is left out.

    Their scripts write markup of their own, so such a page goes without Trusted Types.
    """
    if offer is None or not offer.sources:
        return {}
    more = {name: [*policy[name], *offer.sources] for name in ("script-src", "connect-src", "img-src")}
    styles = ["'unsafe-inline'"] if offer.inline_styles else []
    return {
        **more,
        "frame-src": [*offer.sources],
        "style-src-attr": styles,
        "require-trusted-types-for": [],
        "trusted-types": [],
    }
