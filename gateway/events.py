"""Following the store's events: which sessions changed, none left out however many processes write at once.

A number left out between two others belongs to a transaction that is not committed yet, or never will be. It is
asked for again until it appears, or until no transaction of ours can still be open.
"""

from collections.abc import Sequence

from gateway.clock import Clock
from gateway.store import Store

AT_ONCE = 1000  # events read by one statement
LOOK_BACK = 1000  # events before the start, among which some may not be committed yet
PATIENCE_MS = 10_000  # a transaction of ours is one verb: what has not appeared by then was rolled back


class Events:
    """One reader's place in the store's events. Nothing from before it began is told."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._missing: dict[int, int] = {}  # numbers left out, and until when they are asked for
        self.seen = store.last_event()  # the highest number so far
        before = store.events_since(self.seen - LOOK_BACK, LOOK_BACK)
        if before:
            self.seen = before[0][0]
            self._take(before)

    def new(self) -> list[str]:
        """The sessions that changed since the last call, each once. Raises `Busy`."""
        changed: dict[str, None] = {}
        while True:
            rows = self._store.events_since(self.seen, AT_ONCE, list(self._missing))
            self._take(rows)
            changed |= dict.fromkeys(session_id for _, session_id in rows)
            if len(rows) < AT_ONCE:
                self._give_up()
                return list(changed)

    def _take(self, rows: Sequence[tuple[int, str]]) -> None:
        until = self._clock() + PATIENCE_MS
        for number, _ in rows:
            self._missing.pop(number, None)
            first_left_out = max(self.seen + 1, number - LOOK_BACK)
            self._missing.update(dict.fromkeys(range(first_left_out, number), until))
            self.seen = max(self.seen, number)

    def _give_up(self) -> None:
        if self._missing:
            now = self._clock()
            self._missing = {number: until for number, until in self._missing.items() if until > now}
