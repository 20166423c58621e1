"""When a project's traffic looks like abuse: many logins begun, hardly any completed.

Whoever pumps messages, or tries other people's numbers, begins sessions and never enters their codes.
"""

from gateway.clock import Clock
from gateway.settings import Settings
from gateway.store import Busy, Store


class Suspicion:
    """Safe to share between threads and greenlets: while one looks, what was seen last will do for the others."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._never = settings.limits == "off"
        self._fewest = settings.suspicion_sessions
        self._share = settings.suspicion_share
        self._window = settings.suspicion_window_seconds * 1000
        self._settle = settings.suspicion_settle_seconds * 1000
        self._sample = max(settings.suspicion_sample, self._fewest)
        self._keep = settings.suspicion_look_seconds * 1000
        self._seen: dict[int, tuple[int, bool]] = {}

    def suspects(self, project_id: int) -> bool:
        """Whether it looks like abuse; looked up in the store now and then only."""
        if self._never:
            return False
        now = self._clock()
        looked_at, verdict = self._seen.get(project_id, (-1, False))
        if 0 <= looked_at <= now < looked_at + self._keep:
            return verdict
        if looked_at >= 0:  # meanwhile it will do for others
            self._seen[project_id] = (now, verdict)
        try:
            verdict = self._look(project_id, now)
        except Busy:
            self._seen.pop(project_id, None)
            raise
        self._seen[project_id] = (now, verdict)
        return verdict

    def _look(self, project_id: int, now: int) -> bool:
        begun, used = self._store.turnout(project_id, now - self._window, now - self._settle, self._sample)
        return begun >= self._fewest and used < begun * self._share
