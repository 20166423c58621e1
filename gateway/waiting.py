"""Waiting in an asyncio loop."""

import asyncio


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, `seconds` at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
