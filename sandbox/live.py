"""Server-sent events: what happens in a chat or in the inbox, at once, in every open page."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator

HEARTBEAT = 15.0
MAX_STREAMS = 500
BACKLOG = 256

Event = tuple[str, Any]


class Hub:
    """Topics and who listens. A listener that falls behind is cut off; its page reconnects and catches up."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Queue[Event | None]]] = defaultdict(set)
        self._count = 0
        self._closed = False

    def publish(self, topic: str, name: str, data: Any) -> None:
        for queue in self._listeners.get(topic, ()):
            if queue.qsize() < BACKLOG:
                queue.put_nowait((name, data))
            elif queue.qsize() == BACKLOG:
                queue.put_nowait(None)

    @contextmanager
    def listen(self, topic: str) -> Iterator[asyncio.Queue[Event | None]]:
        if self._closed or self._count >= MAX_STREAMS:
            raise web.HTTPServiceUnavailable(text="too many open streams")
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners[topic].add(queue)
        self._count += 1
        try:
            yield queue
        finally:
            self._count -= 1
            self._listeners[topic].discard(queue)
            if not self._listeners[topic]:
                del self._listeners[topic]

    def close(self) -> None:
        """End every stream: the process is stopping."""
        self._closed = True
        for queues in self._listeners.values():
            for queue in queues:
                queue.put_nowait(None)


async def stream(request: web.Request, hub: Hub, topic: str, first: Iterable[Event] = ()) -> web.StreamResponse:
    """Answer with an event stream: `first` (the state so far), then everything published to `topic`."""
    with hub.listen(topic) as queue:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        for name, data in first:
            await response.write(_frame(name, data))
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), HEARTBEAT)
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            if event is None:
                return response
            await response.write(_frame(*event))


def _frame(name: str, data: Any) -> bytes:
    # JSON holds no raw newline, so one data line is always enough.
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
