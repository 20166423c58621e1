"""Asking a CAPTCHA provider whether a token is good: one client for all, a circuit breaker for each."""

import time
from urllib.parse import urlencode

import httpx
import msgspec

from gateway.challenge.service import CannotTell, Service, verify_url
from gateway.decoding import NOT_JSON
from gateway.errors import Unavailable
from gateway.hosted.breaker import Breaker
from gateway.settings import Settings

LARGEST_ANSWER = 64 * 1024  # bytes; the largest real one is 1 KiB
CONNECTIONS = 64  # as many as there are blocking threads, at most
_REFUSED = range(400, 500)  # providers answer those of their form's refusals with JSON, too


class Asking:
    """Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._patience = settings.challenge_timeout_seconds
        self._client = httpx.Client(
            timeout=self._patience,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            follow_redirects=False,  # the secret goes to the provider and nowhere else
            trust_env=False,
        )
        self._breakers: dict[str, Breaker] = {}

    def is_good(self, service: Service, secret: str, token: str) -> bool:
        """Whether the provider takes the token. Raises `CannotTell`, at once while it rests."""
        breaker = self._breaker(service)
        try:
            breaker.enter()
        except Unavailable:
            raise CannotTell("it rests") from None
        try:
            good = self._ask(service, {"secret": secret, service.token_field: token})
        except CannotTell as problem:
            if problem.our_fault:
                breaker.release()
            else:
                breaker.failed(problem)
            raise
        except BaseException:
            breaker.release()
            raise
        breaker.worked()
        return good

    def close(self) -> None:
        self._client.close()

    def _ask(self, service: Service, form: dict[str, str]) -> bool:
        url = verify_url(service, self._settings)
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        deadline = time.monotonic() + self._patience
        body = b""
        try:
            with self._client.stream("POST", url, content=urlencode(form), headers=headers) as response:
                for more in response.iter_bytes():
                    body += more
                    if len(body) > LARGEST_ANSWER or time.monotonic() > deadline:
                        raise CannotTell("too much, or too slowly")
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise CannotTell(type(problem).__name__) from None
        status = response.status_code
        if status != httpx.codes.OK and status not in _REFUSED:
            raise CannotTell(f"status {status}")
        try:
            answer = msgspec.json.decode(body)
        except NOT_JSON:
            raise CannotTell(f"status {status} without JSON") from None
        if not isinstance(answer, dict):
            raise CannotTell("an answer that is no object")
        good = service.read(answer)
        if good and status != httpx.codes.OK:
            raise CannotTell(f"status {status} beside a yes")
        return good

    def _breaker(self, service: Service) -> Breaker:
        chosen = self._settings
        made = Breaker(
            chosen.challenge_failures, chosen.challenge_rest_seconds, what=f"the challenge's {service.name}"
        )
        return self._breakers.setdefault(service.name, made)
