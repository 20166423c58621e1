"""What a thread puts off until something that others wait for is over."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Act = Callable[[], None]


class Later(threading.local):
    """Each thread's own acts: done at once, but for those within a block, which are done when it has ended."""

    _held: list[Act] | None = None

    def do(self, act: Act) -> None:
        if self._held is None:
            act()
        else:
            self._held.append(act)

    @contextmanager
    def holding(self, *, even_if_it_fails: bool) -> Iterator[None]:
        """A block; where it fails, its acts are done all the same, or never."""
        held: list[Act] = []
        self._held = held
        failed = True
        try:
            yield
            failed = False
        finally:
            self._held = None
            if even_if_it_fails or not failed:
                for act in held:
                    act()
