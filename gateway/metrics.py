"""What a process counts for whoever watches it: `Metrics` counts nothing, and `gateway.prometheus` for Prometheus.

Nothing here names a person: labels are actions, outcomes, channels, providers and projects' numbers.
"""

import hmac
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

PATH = "/metrics"
FOLDER = "KODGATE_METRICS_FOLDER"  # where several workers of a process find it
SHARE_EVERY = 2.0  # seconds: a worker's part of what another one shows is so old at most
NOT_SHOWN = {"www-authenticate": "Bearer"}  # with 401 (RFC 6750, 3)

Shown = tuple[str, str, str]
"""A gauge: its name, what it means, and its label, empty for none."""
Look = Callable[[], Sequence[Mapping[str, float]]]
"""What each of some gauges shows, by its label; of one without a label, by "". May raise `Busy`: then they show
nothing."""


class Metrics:
    """Counts nothing: METRICS_TOKEN is not set. Safe to share between threads."""

    def request(self, action: str, status: int, seconds: float) -> None:
        """Web answered."""

    def action(self, action: str, outcome: str = "done") -> None:
        """A verb, or what a person did in the bot, as the audit log names both: done, or why it was refused."""

    def session(self, project_id: int, sent_to: str) -> None:
        """A session began."""

    def login(self, project_id: int, channel: str) -> None:
        """Somebody proved a contact: by a code that this channel carried, or by one tap in it."""

    def attempt(self, channel: str, provider: str, outcome: str, seconds: float) -> None:
        """A provider was asked to send: `sent`, `refused` (for good) or `later`."""

    def delivered(self, channel: str, seconds: float) -> None:
        """A provider took a message, so long after it had been asked for."""

    def failed(self, channel: str) -> None:
        """A message is given up on its channel, or its provider reports that it did not arrive."""

    def update(self, outcome: str, seconds: float) -> None:
        """An update of the Bot API was `handled`, comes `again`, or met a `defect` of ours."""

    def show(self, look: Look, *gauges: Shown) -> None:
        """Ask `look` once for these gauges whenever somebody reads."""

    def holding(self) -> AbstractContextManager[None]:
        """What this thread counts within counts once the block has ended; if it fails, it never was."""
        return nullcontext()

    def share(self) -> None:
        """Let the other workers know what this one has counted, to be called every `SHARE_EVERY`."""

    def page(self) -> tuple[bytes, str]:
        """All of it, and its media type."""
        return b"", "text/plain"


@contextmanager
def shared_folder(workers: int) -> Iterator[None]:
    """Where several workers tell each other what they counted, until the block ends."""
    os.environ.pop(FOLDER, None)
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="kodgate-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


def may_read(token: str, authorization: str) -> bool:
    """Whether an `Authorization` header shows METRICS_TOKEN (RFC 6750)."""
    shown = authorization.encode("utf-8", "surrogateescape")
    return hmac.compare_digest(f"Bearer {token}".encode(), shown)


def open_metrics(token: str, process: str) -> Metrics:
    """What this process counts: nothing, where nobody could read it."""
    if not token:
        return Metrics()
    from gateway.prometheus import PrometheusMetrics  # 30 ms that only who counts pays

    return PrometheusMetrics(process, os.environ.get(FOLDER))
