"""What the search for a value's origin is made of: hops backwards, the lines they lead to, and where they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from aftertrace.explain.scene import Point, Scene
from aftertrace.model import Span, Value
from aftertrace.reconstruct.execution import Frame


class Kind(StrEnum):
    """How a value was made."""

    DEFAULT = "default"  # something was not there, and a default stood in
    LITERAL = "literal"  # written in the source
    COMPUTED = "computed"  # by an expression whose inputs are recorded
    OPAQUE = "opaque"  # by code that is not recorded
    OUTSIDE = "outside"  # it came into the request from outside
    SHED = "shed"  # made by a call of which nothing was recorded, to stay within the budget
    LOST = "lost"  # it could not be followed further


@dataclass(frozen=True, slots=True)
class Border:
    """A message between two parts of the request."""

    kind: str  # http, queue, task, answer
    says: str


@dataclass(frozen=True, slots=True)
class Link:
    """A line through which the value went; at ``step`` it is visible."""

    frame: Frame
    line: int
    step: int
    name: str
    value: Value | None
    says: str = ""
    border: Border | None = None  # what lies between this line and the next one towards the failure
    ran: int = -1  # the step at which the line began to run
    of: Scene | None = None  # another request, whose line it is


@dataclass(frozen=True, slots=True)
class Move:
    """The value came from ``point``; ``link`` is the line there, None where that is the line already told."""

    point: Point
    link: Link | None = None
    doubt: str = ""  # why this is not certain
    value: Value | None = None  # where it looked different before


@dataclass(frozen=True, slots=True)
class End:
    """The value was made here. ``line`` 0: the line already told."""

    kind: Kind
    says: str = ""
    line: int = 0
    span: Span | None = None  # OPAQUE: the call to another service that gave it
    unknown: str = ""  # what remains unknown
    link: Link | None = None  # a line further back than the one already told
    doubt: str = ""  # why this may not be where it was made


type Hop = Move | End


@dataclass(slots=True)
class Origin:
    """``links``: from the failure back; the last is the line that made the value."""

    links: list[Link]
    end: End
    point: Point  # the expression that made it
    value: Value | None
    doubts: list[str] = field(default_factory=list)

    @property
    def made(self) -> Link:
        return self.links[-1]

    @property
    def sure(self) -> bool:
        return not self.doubts
