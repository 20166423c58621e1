"""Waiting in an asyncio loop."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

MOST_DOUBLINGS = 16  # further ones would be past any longest wait

T = TypeVar("T")


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, `seconds` at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to. A cancellation meanwhile takes effect once it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def backoff(attempts: int, first: float, longest: float) -> float:
    """How many seconds to wait after so many attempts: doubling from `first` to `longest`, with jitter."""
    doublings = min(attempts - 1, MOST_DOUBLINGS)
    return min(longest, first * 2.0**doublings) * random.uniform(0.5, 1.5)  # noqa: S311
