"""Verify tokens: replayed, changed, forged, somebody else's."""

import random

import httpx

from gateway.clock import system_clock
from gateway.keyring import Keyring
from gateway.tokens import LiveClaim, live_tokens
from tests.attack.outcome import Outcome
from tests.attack.site import SECRET_KEY, Target, new_phone, together

TOKENS = "a verify token used twice, forged, or by another project"


def replayed(target: Target, rounds: int) -> Outcome:
    """A token, fifty times at the same moment, to two processes; and once more."""
    through = 0
    for _ in range(rounds):
        body = {"verify_token": target.token()}

        def post(client: httpx.Client, _: int, body: dict[str, str] = body) -> int:
            return client.post(f"{target.site.web}/session/verify", json=body, headers=target.secret).status_code

        answers = together(50, post)
        assert answers.count(200) >= 1
        through += answers.count(200) - 1
        through += target.verify(body["verify_token"]).status_code == 200
    return Outcome(TOKENS, "a token 50 times at once, and again", rounds * 51, through)


def changed(target: Target, times: int) -> Outcome:
    """A sign changed, cut off, put in; another kind of token of ours; made up altogether."""
    good, dice = target.token(), random.Random(1)
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    forged = set[str]()
    while len(forged) < times:
        at = dice.randrange(len(good) - 1)  # the last sign has spellings that mean the same
        sign = dice.choice(signs)
        forged.add(dice.choice((good[:at] + sign + good[at + 1 :], good[:at], good[:at] + sign + good[at:])))
    session_id = target.create(new_phone(), send=False)["session_id"]
    live = live_tokens(Keyring([SECRET_KEY]), system_clock)
    forged |= {live.sign(LiveClaim(target.project.id, session_id, "en")), session_id, "a.b.c", "null", "[]"}
    forged -= {good, ""}
    through = sum(target.verify(token).status_code == 200 for token in sorted(forged))
    assert target.verify(good).status_code == 200
    return Outcome(TOKENS, "tokens changed, cut, of another kind", len(forged), through)


def of_others(target: Target, other: Target, times: int) -> Outcome:
    """Another project's secret key, and keys that are not enough."""
    through = 0
    for _ in range(times):
        token = target.token()
        through += other.verify(token).status_code == 200
        through += target.post("verify", {"verify_token": token}).status_code == 200
        answer = httpx.post(f"{target.site.web}/session/verify", json={"verify_token": token})
        through += answer.status_code == 200
        assert target.verify(token).status_code == 200
    return Outcome(TOKENS, "with another project's key, a public key, none", times * 3, through)


def sessions_of_others(target: Target, other: Target, times: int) -> Outcome:
    """A session of one project, with another one's keys."""
    through = 0
    for _ in range(times):
        session_id = target.create(new_phone())["session_id"]
        body = {"session_id": session_id, "code": target.site.code_of(session_id)}
        through += other.post("check", body).status_code == 200
        through += other.post("send", {"session_id": session_id, "type": "whatsapp"}).status_code == 200
        for verb in ("channels", "settings"):
            answer = httpx.get(
                f"{target.site.web}/session/{verb}", params={"session_id": session_id}, headers=other.public
            )
            through += answer.status_code == 200
        assert target.post("check", body).status_code == 200
    return Outcome(TOKENS, "a session with another project's keys", times * 4, through)
