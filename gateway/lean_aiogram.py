"""aiogram, imported so that pydantic makes a type's validator when that is first needed.

By itself aiogram makes those of all its 500 types and methods while it is imported: four seconds of each start and
100 MiB of each process, for the dozen of them that a login needs. Import this before anything of aiogram.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict

_build = BaseModel.__dict__["model_rebuild"].__func__
_names: dict[str, Any] = {}  # of aiogram's types, by which they name each other


def make(*kinds: type[BaseModel]) -> None:
    """Make what these need now, not while somebody waits for it."""
    for kind in kinds:
        kind.model_rebuild()


def _remember(_: type[Any], /, *, _types_namespace: dict[str, Any]) -> None:
    _names.update(_types_namespace)


def _rebuild(kind: type[Any], /, **options: Any) -> bool | None:
    """What pydantic calls for a class that is not finished."""
    finished: bool | None = _build(kind, **{"_types_namespace": _names, **options})
    return finished


@contextmanager
def _instead(name: str, value: object) -> Iterator[None]:
    former = BaseModel.__dict__[name]
    setattr(BaseModel, name, value)
    try:
        yield
    finally:
        setattr(BaseModel, name, former)


with _instead("model_rebuild", classmethod(_remember)), _instead("model_config", ConfigDict(defer_build=True)):
    from aiogram.methods.base import Response, TelegramMethod
    from aiogram.types.base import TelegramObject

for _base in (TelegramObject, TelegramMethod, Response):
    setattr(_base, "model_rebuild", classmethod(_rebuild))  # noqa: B010 - typed otherwise by pydantic
