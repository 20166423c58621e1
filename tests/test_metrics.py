"""`/metrics`: what each process counts, read as Prometheus reads it."""

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.channels import Channel
from gateway.metrics import SHARE_EVERY
from gateway.prometheus import PrometheusMetrics
from gateway.settings import ROOT
from gateway.store import Busy
from tests.leaks import METRICS_TOKEN
from tests.servers import Servers, until
from tests.world import World, make_world, new_phone

Values = dict[tuple[str, str], float]
DOCUMENTED = re.compile(r"^\| `(kodgate_\w+)` \| (?P<labels>.*?) \|", re.MULTILINE)


def values(text: str) -> Values:
    """Each series' value by its name and its labels, sorted: `channel=sms,project=1`."""
    return {
        (sample.name, ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(url: str) -> Values:
    answer = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return values(answer.text)


@pytest.fixture
def counted(servers: Servers) -> Callable[[str, str, str], float]:
    """By how much a series has risen since the test began, whichever process has it."""
    time.sleep(2 * SHARE_EVERY)  # until each worker knows what tests before us have made the other count
    before = {url: read(url) for url in (servers.web, servers.live)}

    def risen(url: str, name: str, labels: str) -> float:
        key = (name, labels)
        return read(url).get(key, 0) - before[url].get(key, 0)

    return risen


def test_a_login_by_sms_is_counted_from_its_request_to_its_delivery(
    servers: Servers, counted: Callable[[str, str, str], float]
) -> None:
    """Two workers answer by turns, and each tells what both have counted."""
    phones = [new_phone() for _ in range(8)]
    for phone in phones:
        session_id = servers.create(phone)["session_id"]
        until(partial(servers.letters, phone), "the code arrives")
        right = servers.code_of(session_id)
        wrong = f"{(int(right) + 1) % 1_000_000:06d}"
        assert servers.check(session_id, wrong).status_code == 422
        assert servers.check(session_id, right).status_code == 200
    wanted = {
        ("kodgate_sessions_total", "channel=sms,project=1"),
        ("kodgate_logins_total", "channel=sms,project=1"),
        ("kodgate_actions_total", "action=session.create,outcome=done"),
        ("kodgate_actions_total", "action=session.check,outcome=WrongCode"),
        ("kodgate_actions_total", "action=session.check,outcome=done"),
        ("kodgate_request_seconds_count", "action=session.check,status=422"),
        ("kodgate_request_seconds_count", "action=session.check,status=200"),
    }
    for _ in range(8):  # whichever worker is asked
        until(lambda: all(counted(servers.web, *one) == 8 for one in wanted), "both workers know")
    sent = "channel=sms,outcome=sent,provider=1 webhook"
    until(lambda: counted(servers.live, "kodgate_provider_seconds_count", sent) == 8, "all are counted")
    assert counted(servers.live, "kodgate_delivery_seconds_count", "channel=sms") == 8
    assert 0 < counted(servers.live, "kodgate_delivery_seconds_sum", "channel=sms") < 8 * 15


def test_a_refusal_is_counted_by_its_reason(servers: Servers, counted: Callable[[str, str, str], float]) -> None:
    assert servers.check("0" * 26, "123456").status_code == 410
    assert servers.http.post(f"{servers.web}/session/create", headers={"x-api-key": "no"}).status_code == 401
    for action, outcome in (("session.check", "SessionExpired"), ("session.create", "AccessDenied")):
        labels = f"action={action},outcome={outcome}"
        until(partial(_has_risen_by_one, counted, servers.web, labels), f"{outcome} is counted", 5)


def _has_risen_by_one(counted: Callable[[str, str, str], float], url: str, labels: str) -> bool:
    return counted(url, "kodgate_actions_total", labels) == 1


def test_the_bot_counts_updates_activations_and_open_streams(
    servers: Servers, counted: Callable[[str, str, str], float]
) -> None:
    phone = new_phone()
    session_id = servers.create(phone, "telegram")["session_id"]
    with servers.http.stream("GET", servers.live_url(session_id)) as stream:
        next(stream.iter_lines())
        assert counted(servers.live, "kodgate_live_streams", "") == 1
        person = servers.person(phone)
        person.does("start")
        person.hears("number")
        person.does("contact")
        until(
            lambda: counted(servers.live, "kodgate_actions_total", "action=bot.activate,outcome=done") == 1,
            "the activation is counted",
        )
    until(lambda: counted(servers.live, "kodgate_live_streams", "") == 0, "the stream has ended")
    until(
        lambda: counted(servers.live, "kodgate_update_seconds_count", "outcome=handled") >= 2, "both are handled"
    )


@pytest.mark.parametrize("shown", [None, "Bearer wrong", "Bearer", METRICS_TOKEN, "Basic " + METRICS_TOKEN, "é"])
@pytest.mark.parametrize("which", ["web", "live"])
def test_who_does_not_show_the_token_learns_nothing(servers: Servers, which: str, shown: str | None) -> None:
    headers = [(b"authorization", shown.encode())] if shown else []
    answer = httpx.get(f"{getattr(servers, which)}/metrics", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "kodgate_" not in answer.text


def test_without_the_setting_there_is_no_such_address(tmp_path: Path) -> None:
    with Servers(tmp_path) as running:
        for url in (running.web, running.live):
            answer = httpx.get(f"{url}/metrics", headers={"authorization": "Bearer"})
            assert answer.status_code == 404


def test_the_page_of_metrics_is_the_processes_own_page(servers: Servers) -> None:
    """What docs/metrics.md lists is what there is, with these labels."""
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    documented = {
        found[1].removesuffix("_total"): set(re.findall(r"`(\w+)`", found["labels"]))
        for found in DOCUMENTED.finditer(page)
    }
    headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
    families = {
        family.name: family
        for url in (servers.web, servers.live)
        for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", headers=headers).text)
        if family.name.startswith("kodgate_")
    }
    assert families.keys() == documented.keys()
    for name, family in families.items():
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} <= documented[name], name


def test_what_was_not_committed_was_not_counted(tmp_path: Path) -> None:
    """Requests that share a commit are done again where it fails."""
    metrics = PrometheusMetrics("test")
    world = make_world(tmp_path, metrics=metrics)

    def begun() -> float:
        return values(metrics.page()[0].decode()).get(("kodgate_sessions_total", "channel=none,project=1"), 0)

    together = world.gateway.together()
    assert together
    with suppress(ZeroDivisionError), together:
        world.create(new_phone(), send=False)
        raise ZeroDivisionError
    assert begun() == 0
    together = world.gateway.together()
    assert together
    with together:
        world.create(new_phone(), send=False)
        assert begun() == 0
    assert begun() == 1
    world.gateway.close()


def test_the_backlog_is_what_waits_for_a_provider(world: World) -> None:
    """On either store; a parked message waits for a person."""
    store = world.gateway.store
    assert store.backlog() == []
    world.create(new_phone(), channel=Channel.TELEGRAM)
    first = world.clock()
    world.create(new_phone(), channel=Channel.SMS)
    world.clock.pass_seconds(5)
    world.create(new_phone(), channel=Channel.SMS)
    [waiting] = store.backlog()
    assert (waiting.channel, waiting.messages, waiting.oldest_at) == (Channel.SMS, 2, first)
    claimed = store.deliver((), world.clock(), 15_000, [Channel.SMS], 1).claimed
    assert len(claimed) == 1
    assert store.backlog() == [waiting], "it may still come back"


def test_several_workers_parts_are_added_up_and_one_that_is_gone_still_counts(tmp_path: Path) -> None:
    workers = [PrometheusMetrics("web", str(tmp_path)) for _ in range(2)]
    for number, worker in enumerate(workers, 1):
        for _ in range(number):
            worker.action("session.create")
            worker.request("session.create", 200, 0.004)
        worker.share()
        (tmp_path / f"{os.getpid()}.txt").rename(tmp_path / f"gone{number}.txt")
    shown = values(PrometheusMetrics("web", str(tmp_path)).page()[0].decode())
    assert shown["kodgate_actions_total", "action=session.create,outcome=done"] == 3
    assert shown["kodgate_request_seconds_count", "action=session.create,status=200"] == 3
    assert shown["kodgate_request_seconds_bucket", "action=session.create,le=0.005,status=200"] == 3
    assert shown["kodgate_request_seconds_bucket", "action=session.create,le=0.001,status=200"] == 0
    assert shown["kodgate_info", f"process=web,version={version('kodgate')}"] == 1


def test_where_nothing_can_be_shared_nothing_else_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics = PrometheusMetrics("web", str(tmp_path / "gone"))
    metrics.action("session.create")
    for _ in range(3):
        metrics.action("session.create")
        metrics.share()
    assert caplog.text.count("other workers don't learn what this one counts") == 1
    assert b'kodgate_actions_total{action="session.create",outcome="done"} 4.0' in metrics.page()[0]


def test_what_the_store_cannot_tell_is_left_out(tmp_path: Path) -> None:
    metrics = PrometheusMetrics("test")

    def away() -> list[dict[str, float]]:
        raise Busy("it is away")

    metrics.show(away, ("kodgate_away", "What can't be told", "channel"))
    metrics.show(lambda: [{"": 3.0}], ("kodgate_here", "What can", ""))
    read_so = values(metrics.page()[0].decode())
    assert read_so["kodgate_here", ""] == 3
    assert not [name for name, _ in read_so if name == "kodgate_away"]
