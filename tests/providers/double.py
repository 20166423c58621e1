"""A provider's double: real HTTP on loopback, and each request is held against what the provider publishes."""

import functools
from collections.abc import Callable
from typing import Any

from tests.misbehaving import Answer, Handler, Misbehaving

Schema = Callable[[Handler, Any], str]


class Double(Misbehaving):
    """Behaves as told, but refuses a request in which `schema` (handed its JSON) finds something wrong.

    `wrong` is what it found, `peers` the connections that requests came by.
    """

    def __init__(self, schema: Schema, refuse: Answer, behave: Answer) -> None:
        super().__init__(functools.partial(self._look, schema, refuse))
        self.does = behave
        self.wrong: list[str] = []
        self.peers: set[Any] = set()

    def _look(self, schema: Schema, refuse: Answer, handler: Handler) -> None:
        self.peers.add(handler.client_address)
        try:
            problem = schema(handler, self.seen[-1][3])
        except (KeyError, TypeError) as missing:
            problem = repr(missing)
        if problem:
            self.wrong.append(problem)
            refuse(handler)
        else:
            self.does(handler)


def first_wrong(**facts: bool) -> str:
    """The name of the first thing that doesn't hold, empty where all do."""
    return next((name for name, holds in facts.items() if not holds), "")
