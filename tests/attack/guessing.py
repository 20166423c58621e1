"""Guessing a code: at once, across sessions, across processes, over days, and a million times."""

from collections import Counter
from itertools import product
from pathlib import Path

import httpx

from gateway.aes256 import code_key, encode_code
from tests.attack import guesser
from tests.attack.crowd import Crowd
from tests.attack.honest import Honest
from tests.attack.outcome import Outcome
from tests.attack.site import Target, new_address, new_phone, together
from tests.test_limits import DAY, Attacker
from tests.world import make_world

GUESSING, OVER_DAYS, TWICE = "guessing a code", "guessing over a whole day", "a code used twice"
BROUGHT = "setting a code instead of guessing it"
ATTEMPTS = 5
LUCK = 3  # takeovers: of 0.1 expected, chance alone brings more than these once in 250,000 runs
A_DAY = 100  # guesses of a destination that are compared in any 24 h, at most (docs/limits.md)


def ask(target: Target, session_id: str, code: str) -> list[httpx.Response]:
    """Two hundred checks at the same moment, each from an address of its own."""
    body = {"session_id": session_id, "code": code}

    def post(client: httpx.Client, _: int) -> httpx.Response:
        headers = {**target.public, "x-forwarded-for": new_address()}
        return client.post(f"{target.site.web}/session/check", json=body, headers=headers)

    return together(200, post)


def wrong_codes_at_once(target: Target, sessions: int) -> Outcome:
    """Two hundred wrong codes of one session, over all web processes."""
    compared = through = 0
    processes = set[str]()
    for _ in range(sessions):
        session_id = target.create(new_phone(), send=False)["session_id"]
        answers = ask(target, session_id, target.wrong(session_id))
        looked_at = Counter(answer.status_code for answer in answers)[422]
        processes |= {answer.headers["x-request-id"].partition("-")[0] for answer in answers}
        compared += looked_at
        through += max(0, looked_at - ATTEMPTS)
        through += target.check(session_id, target.site.code_of(session_id)).status_code != 410
    assert len(processes) == 2, "both web processes were asked"
    assert compared == sessions * ATTEMPTS
    return Outcome(
        GUESSING, "200 wrong codes of a session at once, to two processes", sessions * 200, through,
        f"{compared} compared, 5 a session",
    )  # fmt: skip


def right_code_raced(target: Target, rounds: int) -> Outcome:
    """The right code, fifty times at the same moment."""
    through = 0
    for _ in range(rounds):
        session_id = target.create(new_phone(), send=False)["session_id"]
        body = {"session_id": session_id, "code": target.site.code_of(session_id)}

        def post(client: httpx.Client, _: int, body: dict[str, str] = body) -> int:
            headers = {**target.public, "x-forwarded-for": new_address()}
            return client.post(f"{target.site.web}/session/check", json=body, headers=headers).status_code

        answers = together(50, post)
        assert answers.count(200) >= 1
        through += answers.count(200) - 1
    return Outcome(TWICE, "the right code 50 times at once", rounds * 50, through)


def codes_brought_along(target: Target, rounds: int) -> Outcome:
    """A code that is set instead of guessed: in the open, or as it was once encrypted for the attacker's phone."""
    times = through = 0
    encrypted = encode_code("4711", code_key(target.secret["x-api-key"]))
    _, iv, ciphertext, _ = encrypted.split(":")
    seen = ("4711", encrypted, f"aes_256_cbc_{iv}{ciphertext}", f"aes_256_cbc_{iv}{'0' * 32}")
    refusals = set[str]()
    for version, code in product(("v1", "v2"), seen * rounds):
        victim = new_phone()
        api = f"{target.site.web}/api/{version}/message"
        headers = {**target.public, "x-forwarded-for": new_address()}
        whole = {"phone": victim[1:], "send": "0", "code": code}
        refusals.add(httpx.get(f"{api}/create", params=whole, headers=headers).text)
        session_id = target.create(victim, send=False)["session_id"]
        its = {"session_id": session_id, "type": "sms", "code": code}
        refusals.add(httpx.post(f"{api}/send", json=its, headers=headers).text)
        times += 2
        through += target.check(session_id, "4711").status_code == 200
    assert len(refusals) == 1, "and none of them tells how near it was"
    control = {"phone": new_phone()[1:], "send": "0", "code": seen[2]}
    brought = httpx.get(f"{target.site.web}/api/v2/message/create", params=control, headers=target.secret).json()
    assert target.check(brought["data"]["session_id"], "4711").status_code == 200
    return Outcome(BROUGHT, "set with the public key, plain, encrypted, replayed, changed", times, through)


def new_codes(target: Target, phones: int, tries: int) -> Outcome:
    """New sessions, new sends and new addresses, to get more guesses than a session has."""
    compared = through = 0
    for _ in range(phones):
        phone, looked_at = new_phone(), 0
        for number in range(tries):
            channel = ("sms", "whatsapp")[number % 2]
            answer = target.post("create", {"to": phone, "type": channel}, new_address())
            if answer.status_code == 200:
                session_id = answer.json()["session_id"]
            target.post("send", {"session_id": session_id, "type": channel}, new_address())
            looked_at += target.check(session_id, target.wrong(session_id), new_address()).status_code == 422
        compared += looked_at
        through += max(0, looked_at - ATTEMPTS)
    assert compared == phones * ATTEMPTS
    return Outcome(
        OVER_DAYS, "a new session, a new send, a new address before each guess", phones * tries, through,
        f"{compared} compared, 5 a phone, then it rests",
    )  # fmt: skip


def day_by_day(folder: Path, attempts: tuple[int, ...], days: int) -> Outcome:
    """As often as it is let, with any number of addresses, in a gateway of its own whose clock is turned."""
    most = times = 0
    for each in attempts:
        home = folder / f"{each}"
        home.mkdir()
        world = make_world(home)
        attacker = Attacker(world, new_phone(), each)
        end = world.clock.now + days * DAY * 1000
        while world.clock.now < end:
            world.clock.pass_seconds(max(attacker.goes_on(), 0.001))
        world.gateway.close()
        most = max(most, attacker.most_in_a_day())
        times += len(attacker.compared)
    return Outcome(
        OVER_DAYS, f"{days} days of guesses (clock turned), {'/'.join(map(str, attempts))} a session", times,
        max(0, most - A_DAY), f"{most} compared in the worst 24 h; 100 are the bound",
    )  # fmt: skip


def million_by_http(target: Target, plan: guesser.Plan, logins_a_second: float) -> tuple[Outcome, Honest]:
    """All destinations guessed at, from all addresses, while honest visitors log in."""
    ended = guesser.begin(plan)
    with Honest(target, logins_a_second) as honest:
        tally = ended()
    bound = plan.destinations * A_DAY
    through = max(0, tally.takeovers - LUCK) + max(0, tally.compared - bound)
    note = (
        f"{tally.compared:,} compared: {tally.compared / 1e6:.3f} takeovers expected, {tally.takeovers} seen; "
        f"{tally.seconds:.0f} s; beside it "
        f"{len(honest.logins)} of {honest.tried} honest logins, "
        f"p50 {honest.at(0.5):.0f} ms, p99 {honest.at(0.99):.0f} ms"
    )
    tried = f"{plan.destinations:,} phones from {plan.addresses:,} addresses, over HTTP"
    return Outcome(OVER_DAYS, tried, tally.guesses, through, note), honest


def million_in_a_day(folder: Path, guesses: int, destinations: int, addresses: int) -> tuple[Outcome, list[float]]:
    """The same straight through the gateway's verbs, spread over a day (clock turned).

    Sends are without limits here, as if challenges and addresses cost the attacker nothing.
    """
    crowd = Crowd(folder, destinations, addresses)
    rounds = guesses // destinations
    for _ in range(rounds):
        crowd.guess_at_each()
        for _ in range(3):
            crowd.honest_login()
        crowd.world.clock.pass_seconds(DAY / rounds)
    crowd.world.gateway.close()
    bound = destinations * A_DAY
    times = sorted(crowd.honest)
    note = (
        f"{crowd.compared:,} compared: {crowd.compared / 1e6:.3f} takeovers expected (bound {bound / 1e6:.1f}), "
        f"{crowd.takeovers} seen; "
        f"{crowd.tried - crowd.failed} of {crowd.tried} honest logins"
    )
    tried = f"{destinations:,} phones from {addresses:,} addresses, a day of it (clock turned), by the verbs"
    through = max(0, crowd.takeovers - LUCK) + max(0, crowd.compared - bound)
    return Outcome(OVER_DAYS, tried, crowd.guesses, through, note), times
