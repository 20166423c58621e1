"""The audit log's ledger: what comes by the thousand is held here for some seconds, and written at once.

What is done is written by the store, in the transaction that does it; only sessions' beginnings, the dearest and
the least telling of it, go through here. A refusal has no transaction, so each process counts alike ones together.
Of a flood of them only the first `detailed` a minute keep their
session and destination; the rest become one row for each kind of refusal, so that no flood fills the disk.
A process of web that ends loses what it holds.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from gateway.clock import Clock
from gateway.contact import Contact
from gateway.errors import BadRequest, GatewayError
from gateway.ids import is_ulid
from gateway.later import Later
from gateway.metrics import Metrics
from gateway.store import Busy, Store
from gateway.store.entries import Entry
from gateway.verbs import Caller

log = logging.getLogger(__name__)

_MINUTE = 60_000
_BATCH = 1000  # entries that are written without waiting any longer: 3 ms of the write lock
_MOST = 10_000  # kinds of refusal held while the store is busy; what is beyond is dropped

Kind = tuple[str, str, int | None, str, bytes | None, str, str]
"""actor, action, project, session, destination, reason, detail"""


class Ledger:
    """Counts refusals and writes them, by a thread of its own that begins with the first one."""

    def __init__(
        self, store: Store, clock: Clock, seconds: float, detailed: int, metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._seconds = seconds
        self._detailed = detailed
        self._lock = threading.Lock()
        self._done: list[Entry] = []
        self._later = Later()
        self._counts: dict[Kind, tuple[int, int]] = {}  # when first, and how often
        self._minute = 0
        self._left = detailed
        self._wake = threading.Event()
        self._ends = False
        self._writer: threading.Thread | None = None

    def record(self, entry: Entry) -> None:
        """Something was done."""
        self._later.do(partial(self._keep, entry))

    def note(
        self,
        actor: str,
        action: str,
        project_id: int | None = None,
        session_id: str = "",
        destination: bytes | None = None,
        reason: str = "",
        detail: str = "",
    ) -> None:
        """Count one. A session's id that is none of ours is left out."""
        if reason:
            self._metrics.action(action, reason)
        kind: Kind = (actor, action, project_id, "", None, reason, detail)
        if destination or is_ulid(session_id):
            kind = (actor, action, project_id, session_id, destination, reason, detail)
        self._later.do(partial(self._count, kind, self._clock()))

    @contextmanager
    def holding(self) -> Iterator[None]:
        """What this thread records and notes within counts once the block has ended; if it fails, it never was."""
        with self._lock:
            self._begin()  # now, as nothing may fail once the block has ended
        with self._later.holding(even_if_it_fails=False):
            yield

    def flush(self) -> None:
        """Write what was counted; where the store is busy, it is kept for the next time."""
        with self._lock:
            done, self._done = self._done, []
            counts, self._counts = self._counts, {}
        entries = [*done, *(Entry(first, *kind, times) for kind, (first, times) in counts.items())]
        if not entries:
            return
        try:
            self._store.note(entries)
        except Busy as problem:
            log.warning("the store is busy, %s entries wait for the audit log: %s", len(entries), problem)
            with self._lock:
                self._done = done[-_MOST:] + self._done
                for kind, (first, times) in counts.items():
                    self._counts[kind] = (first, times + self._counts.get(kind, (0, 0))[1])

    def close(self) -> None:
        """Write what is left and let the thread end."""
        self._ends = True
        self._wake.set()
        if self._writer:
            self._writer.join()
        self.flush()

    def _keep(self, entry: Entry) -> None:
        with self._lock:
            self._done.append(entry)
            if len(self._done) == _BATCH:
                self._wake.set()
            self._begin()

    def _count(self, kind: Kind, now: int) -> None:
        with self._lock:
            if kind not in self._counts and (kind[3] or kind[4]):
                kind = self._admitted(kind, now)
            first, times = self._counts.get(kind, (now, 0))
            if times or len(self._counts) < _MOST:
                self._counts[kind] = (first, times + 1)
            self._begin()

    def _begin(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_on, name="audit", daemon=True)
            self._writer.start()

    def _admitted(self, kind: Kind, now: int) -> Kind:
        """A new kind as it is, while this minute has room for it; else without whose it was."""
        if now // _MINUTE != self._minute:
            self._minute, self._left = now // _MINUTE, self._detailed
        if self._left > 0:
            self._left -= 1
            return kind
        actor, action, project_id, _, _, reason, detail = kind
        return (actor, action, project_id, "", None, reason, detail)

    def _write_on(self) -> None:
        while not self._ends:
            self._wake.wait(self._seconds)
            self._wake.clear()
            try:
                self.flush()
            except Exception:
                log.exception("audit: a defect of ours")
        self._store.close()  # this thread's own connection


class _Audited(Protocol):
    audit: Ledger
    metrics: Metrics

    def hash_of(self, caller: Caller, to: Contact) -> bytes: ...


P = ParamSpec("P")
T = TypeVar("T")
G = TypeVar("G", bound=_Audited)


def audited(
    action: str,
) -> Callable[
    [Callable[Concatenate[G, Caller, Any, P], T]],
    Callable[Concatenate[G, Caller, Any, P], T],
]:
    """Notes the refusals of a verb whose first argument is a `Contact` or a session's id; others are not told."""

    def decorate(
        verb: Callable[Concatenate[G, Caller, Any, P], T],
    ) -> Callable[Concatenate[G, Caller, Any, P], T]:
        @wraps(verb)
        def asked(gateway: G, caller: Caller, subject: Any, /, *args: P.args, **options: P.kwargs) -> T:
            try:
                answer = verb(gateway, caller, subject, *args, **options)
            except GatewayError as refusal:
                if refusal.noted:
                    gateway.metrics.action(action, type(refusal).__name__)
                else:
                    refusal.noted = True
                    whose = gateway.hash_of(caller, subject) if isinstance(subject, Contact) else None
                    session_id = subject if isinstance(subject, str) else ""
                    gateway.audit.note(
                        caller.actor, action, caller.project.id, session_id, whose, *reason_of(refusal)
                    )
                raise
            gateway.metrics.action(action)
            return answer

        return asked

    return decorate


def reason_of(refusal: GatewayError) -> tuple[str, str]:
    """Which refusal it is, and what there is to say besides: never a value that somebody sent."""
    if isinstance(refusal, BadRequest):
        return type(refusal).__name__, f"{refusal.field} {refusal.reason}"
    return type(refusal).__name__, str(refusal.params.get("reason", ""))
