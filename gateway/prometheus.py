"""`PrometheusMetrics`: what a process counts, as Prometheus reads it.

Several workers of one web each count for themselves, and write it into a file of a folder that they share, again
and again; whichever is asked adds up what it finds there. (The library's own way are files mapped into memory, at
which a full disk ends the process.)

Counting may fail, and then nothing else does: what is counted has been done by then.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Concatenate, ParamSpec

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.channels import Channel
from gateway.later import Later
from gateway.metrics import Look, Metrics, Shown
from gateway.store import Busy, StoreError

log = logging.getLogger(__name__)

WEB = "web"  # which delivers nothing
_REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_CALL = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # PROVIDER_TIMEOUT_SECONDS is the last
_DELIVERY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0)  # and a session's life here
_LEVELS = {logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "error"}

P = ParamSpec("P")

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which hardly anybody reads


def _harmless(
    count: Callable[Concatenate["PrometheusMetrics", P], None],
) -> Callable[Concatenate["PrometheusMetrics", P], None]:
    @wraps(count)
    def counted(metrics: "PrometheusMetrics", /, *args: P.args, **options: P.kwargs) -> None:
        try:
            count(metrics, *args, **options)
        except Exception:
            log.exception("metrics: a defect of ours, this is not counted")

    return counted


class PrometheusMetrics(Metrics):
    """Implements `gateway.metrics.Metrics`, where each is described."""

    def __init__(self, process: str, folder: str | None = None) -> None:
        self._registry = registry = CollectorRegistry()
        self._folder = Path(folder) if folder else None
        self._told = b""
        self._lost = False  # as the others know
        self._later = Later()
        self._requests = Histogram(
            "kodgate_request_seconds", "Web's answers", ("action", "status"), buckets=_REQUEST, registry=registry
        )
        self._actions = Counter(
            "kodgate_actions", "What was done, or refused and why", ("action", "outcome"), registry=registry
        )
        self._sessions = Counter("kodgate_sessions", "Sessions begun", ("project", "channel"), registry=registry)
        self._logins = Counter("kodgate_logins", "Contacts proved", ("project", "channel"), registry=registry)
        self._attempts = Histogram(
            "kodgate_provider_seconds",
            "Calls to providers",
            ("channel", "provider", "outcome"),
            buckets=_CALL,
            registry=registry,
        )
        self._deliveries = Histogram(
            "kodgate_delivery_seconds",
            "From a message's being asked for to its provider's taking it",
            ("channel",),
            buckets=_DELIVERY,
            registry=registry,
        )
        self._failures = Counter(
            "kodgate_messages_failed", "Messages given up on their channel", ("channel",), registry=registry
        )
        self._updates = Histogram(
            "kodgate_update_seconds", "Updates of the Bot API", ("outcome",), buckets=_REQUEST, registry=registry
        )
        self._lines = Counter("kodgate_log_lines", "Lines logged", ("level",), registry=registry)
        self._counting = _Counting()
        info = Gauge("kodgate_info", "What runs here", ("version", "process"), registry=registry)
        info.labels(version("kodgate"), process).set(1)
        for level in _LEVELS.values():  # there from the beginning, so that the first one is a rise
            self._lines.labels(level)
        if process != WEB:
            for channel in Channel:
                self._deliveries.labels(channel)
                self._failures.labels(channel)
        if self._folder is None:  # of several, nobody could tell whose it is
            ProcessCollector(registry=registry)
        logging.getLogger().addHandler(self._counting)

    @_harmless
    def request(self, action: str, status: int, seconds: float) -> None:
        self._requests.labels(action, str(status)).observe(seconds)
        self._count_lines()

    def action(self, action: str, outcome: str = "done") -> None:
        self._once_done(self._actions, action, outcome)

    def session(self, project_id: int, sent_to: str) -> None:
        self._once_done(self._sessions, str(project_id), sent_to)

    def login(self, project_id: int, channel: str) -> None:
        self._once_done(self._logins, str(project_id), channel)

    @_harmless
    def attempt(self, channel: str, provider: str, outcome: str, seconds: float) -> None:
        self._attempts.labels(channel, provider, outcome).observe(seconds)

    @_harmless
    def delivered(self, channel: str, seconds: float) -> None:
        self._deliveries.labels(channel).observe(seconds)

    @_harmless
    def failed(self, channel: str) -> None:
        self._failures.labels(channel).inc()

    @_harmless
    def update(self, outcome: str, seconds: float) -> None:
        self._updates.labels(outcome).observe(seconds)

    def show(self, look: Look, *gauges: Shown) -> None:
        self._registry.register(_Shown(look, gauges))

    def holding(self) -> AbstractContextManager[None]:
        return self._later.holding(even_if_it_fails=False)

    def share(self) -> None:
        if self._folder is None:
            return
        self._count_lines()
        page = generate_latest(self._registry)
        if page == self._told:
            return
        self._told = page
        mine = self._mine(self._folder)
        try:
            new = mine.with_suffix(".new")
            new.write_bytes(page)
            new.replace(mine)  # nobody reads half of it
        except OSError as problem:
            if not self._lost:
                log.warning("metrics: other workers don't learn what this one counts: %s", problem)
            self._lost = True
        else:
            self._lost = False

    def page(self) -> tuple[bytes, str]:
        self._count_lines()
        page = generate_latest(self._registry)
        if self._folder:
            others = [file for file in self._folder.glob("*.txt") if file != self._mine(self._folder)]
            page = generate_latest(_Sum([page.decode(), *(file.read_text("utf-8") for file in others)]))
        return page, CONTENT_TYPE_PLAIN_0_0_4

    @staticmethod
    def _mine(folder: Path) -> Path:
        return folder / f"{os.getpid()}.txt"

    def _once_done(self, counter: Counter, *labels: str) -> None:
        self._later.do(partial(self._count, counter, *labels))

    @_harmless
    def _count(self, counter: Counter, *labels: str) -> None:
        counter.labels(*labels).inc()
        if counter is self._sessions:  # a series that begins at one is no rise to Prometheus
            self._logins.labels(*labels)

    def _count_lines(self) -> None:
        seen = self._counting.seen
        while seen:
            self._lines.labels(seen.popleft()).inc()


class _Shown(Collector):
    """Gauges whose values are looked up when somebody reads."""

    def __init__(self, look: Look, gauges: Sequence[Shown]) -> None:
        self._look = look
        self._gauges = gauges

    def describe(self) -> list[GaugeMetricFamily]:
        return [_family(gauge) for gauge in self._gauges]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            looks = self._look()
        except (Busy, StoreError):
            return  # shown again once the store can tell
        for gauge, values in zip(self._gauges, looks, strict=True):
            family = _family(gauge)
            for value_of, value in values.items():
                family.add_metric([value_of] if value_of else [], value)
            yield family


def _family(gauge: Shown) -> GaugeMetricFamily:
    name, meaning, label = gauge
    return GaugeMetricFamily(name, meaning, labels=[label] if label else [])


class _Counting(logging.Handler):
    """Notes warnings and errors, whoever logs them, and wherever: even while something is being counted."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: deque[str] = deque()

    def emit(self, record: logging.LogRecord) -> None:
        if level := _LEVELS.get(record.levelno):
            self.seen.append(level)


class _Sum(CollectorRegistry):
    """What several workers counted, added up; a gauge, of which they have but what is the same, is not."""

    def __init__(self, pages: Iterable[str]) -> None:
        super().__init__()
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for page in self._pages:
            for family in text_string_to_metric_families(page):
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                values = sums.setdefault(family.name, {})
                for sample in family.samples:
                    key = (sample.name, tuple(sample.labels.items()))
                    before = values.get(key, 0.0)
                    values[key] = max(before, sample.value) if known.type == "gauge" else before + sample.value
        for name, family in families.items():
            for (sample_name, labels), value in sums[name].items():
                family.add_sample(sample_name, dict(labels), value)
            yield family
