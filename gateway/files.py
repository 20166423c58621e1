"""Open files and connections: how many the system permits this process."""

import resource
from contextlib import suppress

MOST_FILES = 1_048_576  # Linux's own bound; some systems say "no limit" and refuse to be taken at their word


def open_as_many_as_allowed() -> None:
    """A shell or a container begins with 1,024, fewer than the streams that a bot holds."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (_at_most(hard), hard))


def files_allowed() -> int:
    """At once, those that are open among them."""
    return _at_most(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _at_most(limit: int) -> int:
    return MOST_FILES if limit == resource.RLIM_INFINITY else min(limit, MOST_FILES)
