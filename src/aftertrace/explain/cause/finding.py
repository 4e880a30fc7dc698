"""What one file of this room found out about a request in which no exception, answer or death is the failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aftertrace.explain.cause.hops import Link
from aftertrace.model import Value

if TYPE_CHECKING:
    from aftertrace.explain.cause.origin import Tracer
    from aftertrace.explain.scene.company import Company
    from aftertrace.explain.scene.scene import Scene


@dataclass(slots=True)
class Finding:
    """``status``: verified, likely (its ``doubts`` say why not verified) or unknown (then ``links`` may be empty)."""

    kind: str  # slow, race, swallowed ...: whose ``details`` they are
    status: str
    says: str  # what the line did, in a few words
    links: list[Link] = field(default_factory=list)  # the cause first, then how it shows
    values: list[tuple[str, Value]] = field(default_factory=list)  # what the cause's line worked with
    doubts: list[str] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)  # commands, without "aftertrace", the best first
    details: dict[str, Any] = field(default_factory=dict)  # JSON; show/ writes it, by kind


type Finder = Callable[[Scene, Tracer, Company], Finding | None]
