"""Failures on order, so that a test can see what a client does about them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

MAX_FAULTS = 1_000
INBOX = "inbox"


@dataclass(slots=True)
class Fault:
    """What the next `times` matching calls meet. A fault with a delay only is a slow success."""

    method: str = "*"
    """A Bot API method, `*` for any of them, or `inbox`."""
    status: int | None = None
    retry_after: int | None = None
    times: int = 1
    delay: float = 0.0
    drop: bool = False
    """Close the connection instead of answering."""
    after: bool = False
    """Fail only after the call was carried out: the answer is lost, the message is not."""

    @classmethod
    def from_json(cls, body: Any) -> Self:
        """Raises ValueError, in words for the person who wrote the body."""
        if not isinstance(body, dict):
            raise ValueError("a JSON object is expected")  # noqa: TRY004
        kinds: dict[str, tuple[type, ...]] = {
            "method": (str,),
            "status": (int,),
            "retry_after": (int,),
            "times": (int,),
            "delay": (int, float),
            "drop": (bool,),
            "after": (bool,),
        }
        for key, value in body.items():
            if key not in kinds:
                raise ValueError(f"unknown field {key!r}; known: {', '.join(kinds)}")
            if not isinstance(value, kinds[key]) or (isinstance(value, bool) and bool not in kinds[key]):
                raise ValueError(f"{key} must be {kinds[key][-1].__name__}")
        fault = cls(**body)
        if fault.status is not None and not 400 <= fault.status <= 599:
            raise ValueError("status must be 400..599")
        if fault.times < 1 or not 0 <= fault.delay <= 3600:
            raise ValueError("times must be at least 1, and delay 0..3600 seconds")
        return fault

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Faults:
    """The faults on order, first in, first met."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def order(self, fault: Fault) -> None:
        if len(self._faults) >= MAX_FAULTS:
            raise ValueError(f"{MAX_FAULTS} faults are waiting already")
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def waiting(self) -> list[dict[str, Any]]:
        return [fault.as_json() for fault in self._faults]

    def take(self, method: str) -> Fault | None:
        """The fault that this call meets, used up by one."""
        for index, fault in enumerate(self._faults):
            wanted = fault.method.lower()
            if wanted == method.lower() or (wanted == "*" and method != INBOX):
                fault.times -= 1
                if fault.times == 0:
                    del self._faults[index]
                return fault
        return None


async def delay(fault: Fault | None) -> None:
    if fault and fault.delay:
        await asyncio.sleep(fault.delay)


def drop(request: web.Request) -> web.Response:
    """Hang up without a word. The response is for aiohttp only; it has nowhere to go."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
