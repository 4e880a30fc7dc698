"""Immutable records of named fields, as ``dataclasses`` makes them, for modules that a recorded program loads: that
module and what it imports cost a start 14 ms."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own would have to be imported
if TYPE_CHECKING:
    from typing import Any, Never, Self, dataclass_transform
else:

    def dataclass_transform(**_words):
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Fields:
    """A subclass's annotations are its fields, its class attributes their defaults."""

    def __init__(self, *args: Any, **named: Any) -> None:
        names = type(self).__annotations__
        given = dict(zip(names, args, strict=False)) | named
        missing = [name for name in names if name not in given and not hasattr(self, name)]
        if missing or len(given) != len(args) + len(named) or not given.keys() <= names.keys():
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(names)}")
        vars(self).update(given)

    def asdict(self) -> dict[str, Any]:
        """Fields and values, in the order of declaration; the values are not copied."""
        return {name: getattr(self, name) for name in type(self).__annotations__}

    def replace(self, **changes: Any) -> Self:
        """A copy with other values in some fields."""
        return type(self)(**(self.asdict() | changes))

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{name} of {type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{name} of {type(self).__name__} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.asdict() == other.asdict()

    def __hash__(self) -> int:
        return hash((type(self), *self.asdict().values()))

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.asdict().items())
        return f"{type(self).__name__}({told})"
