"""A store on PostgreSQL whose verbs all run side by side in one event loop's thread, as in a worker of web."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import uvloop

from gateway.store.postgres import PostgresStore

ITS_OWN = ("migrate", "behind", "close", "together", "aside", "watch")  # by connections of their own, or by none


class BesideStore(PostgresStore):
    """Whoever calls a verb waits in a thread of his own; the loop's thread waits for nobody."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "", 4)
        self._loop = uvloop.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        for name in vars(PostgresStore):
            if not name.startswith("_") and name not in ITS_OWN and callable(verb := getattr(self, name)):
                setattr(self, name, partial(self.in_the_loop, verb))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def in_the_loop(self, act: Callable[..., Any], *args: object, **options: object) -> Any:
        """What it returns or raises, having run beside whatever else does."""
        if threading.current_thread() is self._thread:  # a verb that needs another
            return act(*args, **options)
        told: Future[Any] = Future()

        def tell(answer: Any) -> None:
            if problem := answer.exception():
                told.set_exception(problem)
            else:
                told.set_result(answer.result())

        def begin() -> None:
            task = self._loop.create_task(self.aside(partial(act, *args, **options)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(tell)

        self._loop.call_soon_threadsafe(begin)
        return told.result(30)

    def close(self) -> None:
        """With its loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        super().close()
