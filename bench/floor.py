"""The floor: the smallest answer to a body, served by the same granian settings as ours."""

import sys
from typing import Any

HEADERS = [("content-type", "application/json")]


async def application(_: Any, transport: Any) -> None:
    await transport()
    transport.response_bytes(200, HEADERS, b"{}")


if __name__ == "__main__":
    from web.__main__ import make_server

    make_server("bench.floor:application", "127.0.0.1", int(sys.argv[1]), workers=1, factory=False).serve()
