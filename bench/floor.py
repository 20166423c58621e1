"""The floor: the smallest WSGI answer, served by the same granian settings as ours."""

import sys
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse


def application(_: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "application/json"), ("content-length", "2")])
    return [b"{}"]


if __name__ == "__main__":
    from web.__main__ import make_server

    make_server(
        "bench.floor:application", "127.0.0.1", int(sys.argv[1]), workers=1, threads=1, factory=False
    ).serve()
