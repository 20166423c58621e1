"""Guessing over HTTP, from a process of its own: codes drawn, pipelined on blocking sockets.

`python -m tests.attack.guesser '<json>'` prints one JSON line.
"""

import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from tests.attack import beside

CHUNK = 50  # requests written before their answers are read: both sides' buffers hold them
_SESSION = re.compile(rb'"session_id":"([0-9A-Z]{26})"')


class Plan(msgspec.Struct):
    """`guesses` in all, or what fits into `seconds`; after `each` a destination's session is asked for anew."""

    port: int
    key: str
    guesses: int
    seconds: float
    destinations: int
    addresses: int
    connections: int = 16
    each: int = 25
    first_phone: int = 1_000_000


class Tally(msgspec.Struct):
    """What was answered; `compared`: 422, a wrong code was looked at; `takeovers`: a verify token came back."""

    guesses: int
    compared: int
    takeovers: int
    creates: dict[str, int]
    answers: dict[str, int]
    seconds: float


class _Guesser:
    """One connection and its destinations."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan, self._dice = plan, random.Random(number)
        self._phones = [plan.first_phone + one for one in range(number, plan.destinations, plan.connections)]
        self._sessions: dict[int, bytes] = {}
        self._socket = socket.create_connection(("127.0.0.1", plan.port), timeout=60)
        self.creates, self.answers = Counter[str](), Counter[str]()
        self.guesses = self.takeovers = 0

    def run(self, until: float) -> None:
        most = self._plan.guesses // self._plan.connections
        while time.perf_counter() < until and self.guesses < most:
            for one in range(0, len(self._phones), CHUNK):
                self._begin(self._phones[one : one + CHUNK])
            known = list(self._sessions.values())
            tries = (known * self._plan.each)[: most - self.guesses]
            for one in range(0, len(tries), CHUNK):
                if time.perf_counter() > until:
                    break
                self._guess(tries[one : one + CHUNK])
        self._socket.close()

    def _begin(self, phones: list[int]) -> None:
        bodies = [b'{"to":"+7954%07d","type":"sms","send":false}' % phone for phone in phones]
        for phone, (status, answer) in zip(phones, self._ask(b"create", bodies), strict=True):
            self.creates[status] += 1
            if found := _SESSION.search(answer):
                self._sessions[phone] = found[1]

    def _guess(self, sessions: list[bytes]) -> None:
        codes = [self._dice.randrange(1_000_000) for _ in sessions]
        bodies = [b'{"session_id":"%s","code":"%06d"}' % pair for pair in zip(sessions, codes, strict=True)]
        for status, answer in self._ask(b"check", bodies):
            self.guesses += 1
            self.answers[status] += 1
            self.takeovers += b"verify_token" in answer

    def _ask(self, verb: bytes, bodies: list[bytes]) -> list[tuple[str, bytes]]:
        self._socket.sendall(b"".join(self._request(verb, body) for body in bodies))
        seen, answers = b"", list[bytes]()
        while len(answers) <= len(bodies):  # the first part is empty: each answer begins with its status
            more = self._socket.recv(1 << 20)
            if not more:
                raise ConnectionError("the server closed a connection")
            seen += more
            answers = seen.split(b"HTTP/1.1 ")
            if len(answers) > len(bodies) and not _is_whole(answers[-1]):
                answers.pop()
        return [(one[:3].decode(), one) for one in answers[1:]]

    def _request(self, verb: bytes, body: bytes) -> bytes:
        address = self._dice.randrange(self._plan.addresses)
        return (
            b"POST /session/%s HTTP/1.1\r\nhost: a\r\nx-api-key: %s\r\ncontent-type: application/json\r\n"
            b"x-forwarded-for: 172.20.%d.%d\r\ncontent-length: %d\r\n\r\n%s"
            % (verb, self._plan.key.encode(), address >> 8, address & 255, len(body), body)
        )


def _is_whole(answer: bytes) -> bool:
    head, ended, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(ended and length and len(body) >= int(length[1]))


def run(plan: Plan) -> Tally:
    """Guess."""
    began = time.perf_counter()
    guessers = [_Guesser(plan, number) for number in range(plan.connections)]
    threads = [threading.Thread(target=one.run, args=(began + plan.seconds,)) for one in guessers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = sum((one.answers for one in guessers), Counter[str]())
    return Tally(
        sum(one.guesses for one in guessers),
        answers["422"],
        sum(one.takeovers for one in guessers),
        dict(sum((one.creates for one in guessers), Counter[str]())),
        dict(answers),
        time.perf_counter() - began,
    )


def begin(plan: Plan) -> Callable[[], Tally]:
    """Begin; what is returned waits for the end."""
    return beside.begin("tests.attack.guesser", plan, plan.seconds, Tally)


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(run(msgspec.json.decode(sys.argv[1], type=Plan))).decode())
