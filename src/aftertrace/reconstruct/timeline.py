"""One order over the steps of all processes: clocks corrected by what calls what, and no effect before its cause.

Two hosts' clocks differ. Where one process called another, the server's span must lie within the client's: that bounds
the difference, and along the tree of calls every process gets its offset from the first one's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aftertrace.model import Resource, Span, SpanKind
from aftertrace.reconstruct.execution import StepKind
from aftertrace.reconstruct.frames import Draft, Story
from aftertrace.reconstruct.tree import SpanTree


@dataclass(slots=True)
class _Bounds:
    """What must be added to the second process's clock lies between these, relative to the first's, in ns."""

    low: list[int] = field(default_factory=list)
    high: list[int] = field(default_factory=list)

    def offset(self) -> int:
        """0 when the clocks agree, else the middle of what is possible."""
        low, high = max(self.low, default=None), min(self.high, default=None)
        if low is not None and high is not None:
            return 0 if low <= 0 <= high else (low + high) // 2
        return max(low, 0) if low is not None else min(high or 0, 0)

    def called(self, low: int, high: int | None) -> None:
        """By a call from the first process to the second."""
        self.low.append(low)
        self.high += [high] if high is not None else []

    def was_called(self, low: int, high: int | None) -> None:
        """By a call the other way."""
        self.high.append(-low)
        self.low += [-high] if high is not None else []


def owners(stories: Sequence[Story], spans: Mapping[str, Span]) -> dict[str, int]:
    """The process (an index) in which each span was made: by its own record there, else by its resource."""
    found: dict[str, int] = {}
    for story in stories:
        for draft in story.drafts:
            if draft.kind is StepKind.SPAN_START:
                found.setdefault(draft.span_id, story.process)
    for span in spans.values():
        if span.span_id not in found:
            fits = [story.process for story in stories if _speaks(story, span.resource)]
            if len(fits) == 1:
                found[span.span_id] = fits[0]
    return found


def _speaks(story: Story, resource: Resource) -> bool:
    own, other = story.memory.resource.attributes, resource.attributes
    keys = ("service.name", "service.instance.id", "process.pid", "host.name")
    return story.memory.resource.service == resource.service and all(
        own.get(key, other.get(key)) == other.get(key, own.get(key)) for key in keys
    )


def skews(stories: Sequence[Story], tree: SpanTree, owner: Mapping[str, int]) -> list[int]:
    """What to add to each process's clock, ns: 0 for the first process of the request."""
    bounds: dict[tuple[int, int], _Bounds] = {}
    for span in tree.spans.values():
        parent = tree.parent(span.span_id)
        here, there = owner.get(span.span_id), owner.get(parent.span_id) if parent else None
        if parent is None or here is None or there is None or here == there:
            continue
        if _one_clock(stories[here], stories[there]):
            continue
        pair = bounds.setdefault((min(there, here), max(there, here)), _Bounds())
        waits = parent.kind is SpanKind.CLIENT and span.kind is SpanKind.SERVER
        whole = bool(parent.end_ns and span.end_ns)
        fits = waits and whole and span.end_ns - span.start_ns <= parent.end_ns - parent.start_ns
        high = parent.end_ns - span.end_ns if fits else None
        (pair.called if there < here else pair.was_called)(parent.start_ns - span.start_ns, high)
    return _spread(len(stories), bounds, _order(tree, owner))


def _one_clock(a: Story, b: Story) -> bool:
    one, other = (story.memory.resource.attributes for story in (a, b))
    return any(one.get(key) and one.get(key) == other.get(key) for key in ("host.id", "host.name"))


def _order(tree: SpanTree, owner: Mapping[str, int]) -> list[int]:
    """Processes as the request reached them: breadth first from the roots."""
    found: dict[int, None] = {}
    queue = deque(tree.roots)
    while queue:
        span = queue.popleft()
        if span.span_id in owner:
            found.setdefault(owner[span.span_id])
        queue.extend(tree.children(span.span_id))
    return list(found)


def _spread(count: int, bounds: Mapping[tuple[int, int], _Bounds], order: Sequence[int]) -> list[int]:
    """Breadth first over who called whom."""
    steps: dict[int, dict[int, int]] = {}
    for (first, second), pair in bounds.items():
        offset = pair.offset()
        steps.setdefault(first, {})[second] = offset
        steps.setdefault(second, {})[first] = -offset
    offsets: dict[int, int] = {}
    for first in [*order, *range(count)]:
        if first in offsets:
            continue
        offsets[first] = 0
        queue = deque([first])
        while queue:
            here = queue.popleft()
            for there, offset in steps.get(here, {}).items():
                if there not in offsets:
                    offsets[there] = offsets[here] + offset
                    queue.append(there)
    return [offsets[process] for process in range(count)]


# -- order


def merge(stories: Sequence[Story], tree: SpanTree, offsets: Sequence[int]) -> list[Draft]:
    """All drafts in one order, their times corrected. Within a process nothing is moved."""
    return _Merge(stories, offsets, _causes(stories, tree, offsets)).run()


class _Merge:
    """``needs``: (process, place of a draft) -> the places in other processes that must come before it."""

    def __init__(
        self, stories: Sequence[Story], offsets: Sequence[int], needs: Mapping[tuple[int, int], list[tuple[int, int]]]
    ) -> None:
        self._drafts = [story.drafts for story in stories]
        self._offsets = offsets
        self._needs = needs
        self._place = [0] * len(stories)
        self._floor = [0] * len(stories)  # a time before which a process cannot go on
        self._merged: list[Draft] = []

    def run(self) -> list[Draft]:
        while ready := [p for p, place in enumerate(self._place) if place < len(self._drafts[p])]:
            times = {p: self._time(p) for p in ready}
            ready.sort(key=lambda p: (times[p], p))
            process = next((p for p in ready if self._may_go(p)), ready[0])
            self._emit(process, min((times[p] for p in ready if p != process), default=None))
        return self._merged

    def _time(self, process: int) -> int:
        draft = self._drafts[process][self._place[process]]
        return max(draft.time_ns + self._offsets[process], self._floor[process])

    def _may_go(self, process: int) -> bool:
        return all(self._place[q] > at for q, at in self._needs.get((process, self._place[process]), ()))

    def _emit(self, process: int, until: int | None) -> None:
        """Moves one draft to the order, and those after it that are earlier than any other process's next."""
        drafts, first = self._drafts[process], self._place[process]
        if (process, first) in self._needs and self._merged:
            self._floor[process] = max(self._floor[process], self._merged[-1].time_ns)
        while (place := self._place[process]) < len(drafts):
            time = self._time(process)
            if place > first and ((process, place) in self._needs or (until is not None and time >= until)):
                break
            drafts[place].time_ns = self._floor[process] = time
            self._merged.append(drafts[place])
            self._place[process] = place + 1


def _causes(
    stories: Sequence[Story], tree: SpanTree, offsets: Sequence[int]
) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """(process, place of a draft) -> the places in other processes that must come before it."""
    starts: dict[str, tuple[int, int]] = {}
    ends: dict[str, tuple[int, int]] = {}
    firsts: dict[str, tuple[int, int]] = {}  # first draft of each part of the request
    for story in stories:
        for place, draft in enumerate(story.drafts):
            if draft.kind is StepKind.SPAN_START:
                starts.setdefault(draft.span_id, (story.process, place))
            elif draft.kind is StepKind.SPAN_END:
                ends[draft.span_id] = (story.process, place)
            if draft.span_id:
                firsts.setdefault(tree.entry(draft.span_id), (story.process, place))
    needs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for span in tree.spans.values():
        parent = tree.parent(span.span_id)
        if parent is None or tree.entry(span.span_id) != span.span_id:
            continue
        sent, came = starts.get(parent.span_id), firsts.get(span.span_id)
        if sent and came and sent[0] != came[0]:
            needs.setdefault(came, []).append(sent)
        answered, got = ends.get(span.span_id), ends.get(parent.span_id)
        if parent.kind is not SpanKind.CLIENT or not answered or not got or answered[0] == got[0]:
            continue
        if span.end_ns + offsets[answered[0]] <= parent.end_ns + offsets[got[0]]:  # it waited for the answer
            needs.setdefault(got, []).append(answered)
    return needs
