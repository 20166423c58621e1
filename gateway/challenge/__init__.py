"""The challenge: what a visitor shows before `create`, so that programs can't make messages go out in thousands.

Only `create` asks, and of the public key alone. It asks each time, a returned session included, so whoever knows
a session's id has passed it, or is the site's own server: `send` need not ask again, and what one solution can
send is bounded by the session's life and the channels' cool-downs. A site's server answers for its own visitors.
"""

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gateway import errors
from gateway.book import ProjectBook
from gateway.challenge import recaptcha, smartcaptcha, turnstile
from gateway.challenge.service import CannotTell, Service
from gateway.challenge.suspicion import Suspicion
from gateway.clock import Clock
from gateway.keyring import Keyring, Unsealable
from gateway.projects import Project
from gateway.settings import Settings
from gateway.store import Store
from gateway.verbs import Caller, Challenge

if TYPE_CHECKING:
    from gateway.challenge.altcha import Altcha
    from gateway.challenge.asking import Asking

log = logging.getLogger(__name__)

ALTCHA = "altcha"
SERVICES: dict[str, Service] = {
    module.SERVICE.name: module.SERVICE for module in (turnstile, smartcaptcha, recaptcha)
}
LONGEST_TOKEN = 8192  # characters; the providers' own have some 2,000
OFF = Challenge()


class Gate:
    """Stands in front of `create`."""

    def __init__(
        self, store: Store, keyring: Keyring, projects: ProjectBook, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._projects = projects
        self._settings = settings
        self._clock = clock
        self._suspicion = Suspicion(store, settings, clock)
        self._challenge_url = f"{settings.public_url}/session/challenge"

    def challenge_of(self, project: Project, *, demanded: bool = False) -> Challenge:
        """What the project's pages have to ask just now, or of somebody of whom it was `demand`ed."""
        if not demanded and not self._is_up(project):
            return OFF
        chosen = project.settings
        site_key = None if chosen.challenge_provider == ALTCHA else chosen.challenge_site_key
        return Challenge(True, site_key, chosen.challenge_provider)

    def new_challenge(self, project: Project) -> dict[str, Any]:
        """An ALTCHA challenge. Raises `NotFound` where the project's provider is another."""
        if project.settings.challenge_provider != ALTCHA:
            raise errors.NotFound
        return self._altcha.new(project.id)

    def admit(self, caller: Caller) -> bool:
        """Let a caller pass; whether no more solution is to be asked for.

        Raises `ChallengeRequired`, `ChallengeUnavailable`.
        """
        if caller.secret or not self._is_up(caller.project):
            return caller.project.settings.challenge == "off"
        self._examine(caller)
        return True

    def demand(self, caller: Caller) -> None:
        """The same of a caller that came often (gateway.limits), unless the project never asks."""
        if caller.project.settings.challenge != "off":
            self._examine(caller)

    def _examine(self, caller: Caller) -> None:
        project = caller.project
        if not caller.challenge:
            raise self._refusal(project, "missing")
        try:
            good = self._is_good(project, caller.challenge)
        except CannotTell as problem:
            if project.settings.challenge_when_down == "open":
                log.warning("project %s: let through unchecked, challenge_when_down=open: %s", project.id, problem)
                return
            log.warning("project %s: the challenge can't be checked: %s", project.id, problem)
            raise errors.ChallengeUnavailable(timeout=round(self._settings.challenge_rest_seconds)) from None
        if not good:
            raise self._refusal(project, "wrong")

    def close(self) -> None:
        """Let go of connections."""
        if asking := self.__dict__.get("_asking"):
            asking.close()

    def _is_up(self, project: Project) -> bool:
        when = project.settings.challenge
        return when == "always" or (when == "suspicious" and self._suspicion.suspects(project.id))

    def _is_good(self, project: Project, token: str) -> bool:
        if project.settings.challenge_provider == ALTCHA:
            return self._altcha.is_good(project.id, token)
        if len(token) > LONGEST_TOKEN:
            return False
        try:
            secret = self._projects.challenge_secret(project)
        except Unsealable:
            raise CannotTell("SECRET_KEYS has lost the key of its secret", our_fault=True) from None
        return self._asking.is_good(SERVICES[project.settings.challenge_provider], secret, token)

    def _refusal(self, project: Project, reason: str) -> errors.ChallengeRequired:
        """`reason` is `missing` or `wrong` (too old or used as well)."""
        chosen = project.settings
        if chosen.challenge_provider == ALTCHA:
            return errors.ChallengeRequired(reason, ALTCHA, None, self._challenge_url)
        return errors.ChallengeRequired(reason, chosen.challenge_provider, chosen.challenge_site_key, None)

    # Loaded with the first challenge: most projects never see one.

    @cached_property
    def _altcha(self) -> "Altcha":
        from gateway.challenge.altcha import Altcha

        return Altcha(self._store, self._keyring, self._settings, self._clock)

    @cached_property
    def _asking(self) -> "Asking":
        from gateway.challenge.asking import Asking

        return Asking(self._settings)
