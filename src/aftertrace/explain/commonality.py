"""What the failing requests of a group share and healthy ones do not: attributes of spans and of who served them, and
what the cause's function and each service's outermost function were called with.

Only with the others of its group: one request against n healthy ones shares nothing with anybody. What is told has
passed Fisher's exact test after correction for all that was compared; its numbers are with it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aftertrace.explain.company import Company, group_of
from aftertrace.explain.digest import digest
from aftertrace.explain.incidental import incidental
from aftertrace.explain.inquiry import Inquiry
from aftertrace.explain.profile import inside
from aftertrace.explain.scene import Scene
from aftertrace.explain.statistics import adjusted, fisher
from aftertrace.model import AttributeValue, Value, ValueKind
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Frame

MEMBERS = 12
_LEAST = 3  # failing requests, of which something can be said to be in common
_SURE = 0.05  # q
_MOST = 10
VERSION = "service.version"
REVISION = "vcs.ref.head.revision"
_OWN = {  # of each process or connection: sharing one says where requests went, not what is wrong
    "process.pid", "process.command_line", "process.command_args", "service.instance.id", "thread.id", "thread.name",
    "client.port", "network.peer.port", "telemetry.sdk.version", "url.full", "url.path", "http.response.status_code",
    "error.type", "http.response.body.size", "http.request.body.size", "exception.message", "exception.type",
}  # fmt: skip


class Trait(NamedTuple):
    """``kind``: argument, attribute, resource."""

    kind: str
    service: str
    name: str


@dataclass(frozen=True, slots=True)
class Shared:
    """Failing and healthy requests that have the value, of those that have the trait at all."""

    trait: Trait
    value: str
    failing: int
    of_failing: int
    healthy: int
    of_healthy: int
    p: float
    q: float
    since: bool = False  # a version, and all healthy requests of others were earlier than the failing ones

    @property
    def says(self) -> str:
        if self.trait.kind == "resource" and self.trait.name == VERSION:
            return f"{'none before' if self.since else 'only on'} {self.trait.service} {self.value}"
        name = self.trait.name if self.trait.kind == "argument" else f"{self.trait.service} {self.trait.name}"
        return f"every one {name} = {self.value}"

    def to_json(self) -> dict[str, Any]:
        return {
            "says": self.says,
            "kind": self.trait.kind,
            "service": self.trait.service,
            "name": self.trait.name,
            "value": self.value,
            "failing": {"count": self.failing, "of": self.of_failing},
            "healthy": {"count": self.healthy, "of": self.of_healthy},
            "p": self.p,
            "q": self.q,
        }


def shared(scene: Scene, found: Inquiry, company: Company) -> list[Shared]:
    """What sets the group apart, the surest first."""
    cause = _cause(found)
    failing = [scene, *company.members(group_of(scene.execution), MEMBERS)]
    if len(failing) < _LEAST:
        return []
    healthy = list(company.siblings())
    if not healthy:
        return []
    like = (scene.execution.processes[cause.process].service, cause) if cause is not None else None
    sides = [[_traits(one, like) for one in side] for side in (failing, healthy)]
    return _compare(sides[0], sides[1], _earlier(failing, healthy))


def _cause(found: Inquiry) -> Frame | None:
    if found.finding is not None:
        return next((one.frame for one in found.finding.links if one.of is None), None)
    origin = found.verdict.origin
    return origin.made.frame if origin is not None and found.verdict.status != "unknown" else None


def _earlier(failing: Sequence[Scene], healthy: Sequence[Scene]) -> list[bool]:
    """Of each healthy request, whether it was before all failing ones."""
    first = min(map(_begun, failing))
    return [_begun(one) < first for one in healthy]


def _begun(scene: Scene) -> int:
    return min((span.start_ns for span in scene.execution.spans.values()), default=0)


# -- what a request has


type Has = dict[Trait, dict[Hashable, str]]  # trait -> its values there, with their text


def _traits(scene: Scene, like: tuple[str, Frame] | None) -> Has:
    has: Has = {}
    for trait, value in [*_attributes(scene), *_resources(scene)]:
        if isinstance(value, str | int | float | bool):
            has.setdefault(trait, {})[type(value).__name__, value] = f"{value}"
    for service, frame in _called(scene, like):
        for name in frame.code.arguments:
            history = scene.execution.history(frame, name)
            if history and name not in {"self", "cls"}:
                for part, held in inside(name, history[0].value):
                    _add(has, Trait("argument", service, part), held)
    return has


def _add(has: Has, trait: Trait, value: Value) -> None:
    if value.kind is not ValueKind.SCALAR or incidental(value) or (mark := digest(value)) is None:
        return
    has.setdefault(trait, {})[mark] = text.of(value, 40)


def _attributes(scene: Scene) -> Iterator[tuple[Trait, AttributeValue]]:
    """Of the spans with which services begin."""
    tree = scene.flow.tree
    for span in scene.execution.spans.values():
        if tree.entry(span.span_id) == span.span_id:
            for name, value in span.attributes.items():
                if name not in _OWN:
                    yield Trait("attribute", span.service, name), value


def _resources(scene: Scene) -> Iterator[tuple[Trait, AttributeValue]]:
    resources = [one.resource for one in scene.execution.spans.values()]
    for resource in [*resources, *(one.resource for one in scene.execution.processes)]:
        for name, value in resource.attributes.items():
            if name not in _OWN:
                yield Trait("resource", resource.service, name), value


def _called(scene: Scene, like: tuple[str, Frame] | None) -> Iterator[tuple[str, Frame]]:
    """Calls of the cause's function, then the outermost of each service."""
    processes = scene.execution.processes
    outer: dict[str, Frame] = {}
    for frame in scene.execution.frames.values():
        service = processes[frame.process].service
        code = frame.code
        same = like is not None and service == like[0] and code.qualname == like[1].code.qualname
        if same and like is not None and code.path == like[1].code.path:
            yield service, frame
        if not frame.parent:
            outer.setdefault(service, frame)
    yield from outer.items()


# -- compared


def _compare(failing: list[Has], healthy: list[Has], earlier: list[bool]) -> list[Shared]:
    found: list[Shared] = []
    compared = 0
    for trait, values in failing[0].items():
        of_failing, of_healthy = (sum(trait in one for one in side) for side in (failing, healthy))
        for mark, shown in values.items():
            if not of_healthy:
                continue
            compared += 1
            a, c = (sum(mark in one.get(trait, ()) for one in side) for side in (failing, healthy))
            if a < of_failing or of_failing < _LEAST or c * of_failing >= a * of_healthy:
                continue
            others = [early for one, early in zip(healthy, earlier, strict=True) if mark not in one.get(trait, ())]
            p = fisher(a, of_failing - a, c, of_healthy - c)
            found.append(Shared(trait, shown, a, of_failing, c, of_healthy, p, 1.0, all(others)))
    qs = adjusted([one.p for one in found], compared)
    sure = [
        Shared(one.trait, one.value, one.failing, one.of_failing, one.healthy, one.of_healthy, one.p, q, one.since)
        for one, q in zip(found, qs, strict=True)
        if q <= _SURE
    ]
    return _once(sorted(sure, key=lambda one: (one.q, one.trait.kind != "argument", one.trait.name == REVISION)))[
        :_MOST
    ]


def _once(found: list[Shared]) -> list[Shared]:
    """The same value under several names is told once."""
    once: dict[tuple[str, str], Shared] = {}
    for one in found:
        key = (one.value, "" if one.trait.kind == "argument" else one.trait.kind + one.trait.service)
        once.setdefault(key, one)
    return list(once.values())
