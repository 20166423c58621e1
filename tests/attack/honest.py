"""Honest visitors beside an attack: each logs in from an address of its own, and is timed."""

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import httpx

from tests.attack.site import Target, new_address, new_phone


@dataclass
class Honest:
    """A context manager: `rate` logins a second begin while it is open, at most `at_once` of them at a time."""

    target: Target
    rate: float
    at_once: int = 4
    times: list[float] = field(default_factory=list)  # seconds of each request, a challenge's solving left out
    logins: list[float] = field(default_factory=list)  # seconds of each login that came to its end
    challenged: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return len(self.logins) + len(self.failures)

    @property
    def share(self) -> float:
        """Of all logins, those that came to their end."""
        return len(self.logins) / max(1, self.tried)

    def at(self, share: float) -> float:
        """A request's milliseconds, at this quantile."""
        times = sorted(self.times)
        return times[min(len(times) - 1, int(len(times) * share))] * 1000 if times else 0.0

    def __enter__(self) -> "Honest":
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._log_in_again, args=(n,)) for n in range(self.at_once)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _log_in_again(self, number: int) -> None:
        pace = self.at_once / self.rate
        self._over.wait(pace * number / self.at_once)
        with httpx.Client(base_url=self.target.site.web, timeout=30, headers=self.target.public) as client:
            while not self._over.is_set():
                began = time.perf_counter()
                try:
                    self._log_in(client)
                    self.logins.append(time.perf_counter() - began)
                except (AssertionError, httpx.HTTPError) as problem:
                    self.failures.append(repr(problem)[:300])
                self._over.wait(max(0.0, pace - (time.perf_counter() - began)))

    def _log_in(self, client: httpx.Client) -> None:
        client.headers["x-forwarded-for"] = new_address()
        body = {"to": new_phone(), "type": "sms", "send": False}
        answer = self._timed(client, "create", body)
        if answer.status_code == 403:
            self.challenged += 1
            answer = self._timed(client, "create", body, {"x-challenge-token": self.target.solution()})
        assert answer.status_code == 200, answer.text
        session_id = answer.json()["session_id"]
        answer = self._timed(
            client, "check", {"session_id": session_id, "code": self.target.site.code_of(session_id)}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["verify_token"]

    def _timed(
        self, client: httpx.Client, verb: str, body: dict[str, object], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        began = time.perf_counter()
        answer = client.post(f"/session/{verb}", json=body, headers=headers)
        self.times.append(time.perf_counter() - began)
        return answer
