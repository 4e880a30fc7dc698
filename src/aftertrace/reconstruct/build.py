"""Spans and recordings of one trace to one steppable execution, with every frame's names at every step.

Whatever is missing, broken or contradictory gives less, and says so in ``gaps``; it never fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from aftertrace.model import Keep, LogRecord, Source, Span
from aftertrace.reconstruct import decode, frames, levels, timeline
from aftertrace.reconstruct.execution import Binding, Entered, Execution, Gap, Process, Shed, Step, StepKind
from aftertrace.reconstruct.frames import Draft, Story
from aftertrace.reconstruct.spans import told
from aftertrace.reconstruct.tree import SpanTree
from aftertrace.wire.bundle import Coverage


class Trace(Protocol):
    """What is known of one trace; `wire.bundle.TraceData` fulfils it."""

    @property
    def trace_id(self) -> str: ...
    @property
    def spans(self) -> Sequence[Span]: ...
    @property
    def logs(self) -> Sequence[LogRecord]: ...
    @property
    def recordings(self) -> Sequence[bytes]: ...
    @property
    def sources(self) -> Mapping[str, str]: ...
    @property
    def keeps(self) -> Sequence[Keep]: ...
    @property
    def problems(self) -> Sequence[str]: ...
    @property
    def coverage(self) -> Coverage | None: ...


def build(trace: Trace) -> Execution:
    """The execution of a trace. Deterministic: the same data gives the same steps and addresses."""
    memories, unread = decode.read(trace.recordings)
    stories = [frames.tell(memory, index, trace.trace_id) for index, memory in enumerate(memories)]
    spans = _spans(trace, stories)
    owner = timeline.owners(stories, spans)
    tree = SpanTree(spans)
    for story in stories:
        _add_span_steps(story, tree, owner)
    offsets = timeline.skews(stories, tree, owner)
    merged = timeline.merge(stories, tree, offsets)
    execution = Execution(
        trace_id=trace.trace_id,
        spans=_in_order({key: _moved(span, offsets, owner) for key, span in spans.items()}),
        processes=[_process(story, offset) for story, offset in zip(stories, offsets, strict=True)],
        frames={(story.process, number): frame for story in stories for number, frame in story.frames.items()},
        steps=[_step(draft, index, stories) for index, draft in enumerate(merged)],
        logs=sorted(trace.logs, key=lambda log: log.time_ns),
        sources=_sources(trace, stories),
        keeps=sorted(trace.keeps, key=lambda keep: keep.time_ns),
        gaps=[],
        coverage=trace.coverage,
    )
    _remember(execution, stories, merged)
    execution.shed = [one for story, offset in zip(stories, offsets, strict=True) for one in _shed(story, offset)]
    execution.gaps = _gaps(trace, stories, merged, unread)
    return execution


def _spans(trace: Trace, stories: Sequence[Story]) -> dict[str, Span]:
    """By id; of a span that came twice the one that has ended."""
    spans: dict[str, Span] = {}
    for span in sorted(trace.spans, key=lambda span: (span.start_ns, span.span_id)):
        known = spans.get(span.span_id)
        if known is None or (span.end_ns and not known.end_ns):
            spans[span.span_id] = span
    for story in stories:
        starts = {draft.span_id for draft in story.drafts if draft.kind is StepKind.SPAN_START}
        if any(one not in spans or not spans[one].end_ns for one in starts):
            for span in told(story.memory, trace.trace_id).values():
                known = spans.get(span.span_id)
                if known is None or (span.end_ns and not known.end_ns):
                    spans[span.span_id] = span
    return _in_order(spans)


def _in_order(spans: Mapping[str, Span]) -> dict[str, Span]:
    return {span.span_id: span for span in sorted(spans.values(), key=lambda span: (span.start_ns, span.span_id))}


def _moved(span: Span, offsets: Sequence[int], owner: Mapping[str, int]) -> Span:
    """The span on the corrected clock of its process."""
    offset = offsets[owner[span.span_id]] if span.span_id in owner else 0
    if not offset:
        return span
    return replace(span, start_ns=span.start_ns + offset, end_ns=span.end_ns + offset if span.end_ns else 0)


def _add_span_steps(story: Story, tree: SpanTree, owner: Mapping[str, int]) -> None:
    """Start and end of the spans in which this process has steps, where their own records lie outside the recording.

    A server's span is made before it becomes current, so its start is not among the trace's records.
    """
    started = {draft.span_id for draft in story.drafts if draft.kind is StepKind.SPAN_START}
    ended = {draft.span_id for draft in story.drafts if draft.kind is StepKind.SPAN_END}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, draft in enumerate(story.drafts):
        span = tree.spans.get(draft.span_id)
        while span is not None and owner.get(span.span_id) == story.process:
            first.setdefault(span.span_id, place)
            last[span.span_id] = place
            span = tree.parent(span.span_id)
    before: dict[int, list[Draft]] = {}
    behind: dict[int, list[Draft]] = {}
    for span in tree.spans.values():  # in start order: the outer before the inner
        if span.span_id not in first:
            continue
        here = story.drafts[first[span.span_id]]
        if span.span_id not in started:
            made = _span_draft(story, StepKind.SPAN_START, span, here, min(span.start_ns, here.time_ns))
            before.setdefault(first[span.span_id], []).append(made)
        if span.span_id not in ended and span.end_ns:
            there = story.drafts[last[span.span_id]]
            made = _span_draft(story, StepKind.SPAN_END, span, there, max(span.end_ns, there.time_ns))
            behind.setdefault(last[span.span_id], []).insert(0, made)
    if before or behind:
        drafts = story.drafts
        story.drafts = [
            one for place, draft in enumerate(drafts) for one in (*before.get(place, ()), draft, *behind.get(place, ()))
        ]


def _span_draft(story: Story, kind: StepKind, span: Span, near: Draft, time_ns: int) -> Draft:
    text = span.name if kind is StepKind.SPAN_START else ""
    story.outside += 1
    return Draft(story.process, kind, 0, 0, time_ns, span.span_id, near.thread, story.outside - 1, text=text)


def _process(story: Story, offset: int) -> Process:
    memory = story.memory
    return Process(memory.uid, memory.pid, memory.resource, memory.level, memory.codes, offset)


def _step(draft: Draft, index: int, stories: Sequence[Story]) -> Step:
    draft.index = index
    return Step(
        index=index,
        process=draft.process,
        kind=draft.kind,
        activation=draft.activation,
        line=draft.line,
        time_ns=draft.time_ns,
        span_id=draft.span_id,
        thread=draft.thread,
        writes=draft.writes,
        value=draft.value,
        text=draft.text,
        exception=draft.exception,
        lasti=draft.lasti,
        unseen=draft.unseen,
        address=f"{stories[draft.process].memory.uid[:8]}.{draft.activation}.{draft.number}",
    )


def _remember(execution: Execution, stories: Sequence[Story], merged: Sequence[Draft]) -> None:
    """What each name held, which steps each frame has, and by whom it was run."""
    history: dict[tuple[int, int, str], list[Binding]] = {}
    steps: dict[tuple[int, int], list[int]] = {}
    for draft in merged:
        for bound in draft.bindings:
            binding = Binding(bound.name, bound.value, draft.index, bound.line)
            history.setdefault((draft.process, bound.activation, bound.name), []).append(binding)
        if draft.activation:
            steps.setdefault((draft.process, draft.activation), []).append(draft.index)
    for key, own in steps.items():
        execution.frames[key].first_step, execution.frames[key].last_step = own[0], own[-1]
    entered: dict[tuple[int, int], list[Entered]] = {}
    for story in stories:
        for entry in story.entries:
            one = Entered(entry.draft.index, entry.parent, entry.call_line, entry.call_site)
            entered.setdefault((story.process, entry.activation), []).append(one)
    addresses = {step.address: step.index for step in reversed(execution.steps)}
    execution.remember(history, steps, entered, addresses)


def _sources(trace: Trace, stories: Sequence[Story]) -> dict[tuple[int, str], Source]:
    """The files whose text is proven, by its hash, to be what ran."""
    return {
        (story.process, path): Source(path, digest, trace.sources[digest])
        for story in stories
        for path, digest in story.memory.sources.items()
        if digest in trace.sources
    }


def _shed(story: Story, offset: int) -> list[Shed]:
    """What the process shed, and its calls' own moments, on its corrected clock."""
    for frame in story.frames.values():
        frame.since_ns += offset if frame.since_ns else 0
    memory = story.memory
    if story.window is None:
        return []
    seen = {frame.code.id for frame in story.frames.values()}
    found = levels.shed(
        story.process,
        memory.base(),
        memory.changes,
        codes=memory.codes,
        seen=seen,
        window=story.window,
        clocks=memory.clocks,
    )
    return [replace(one, since_ns=one.since_ns + offset) if one.since_ns else one for one in found]


def _gaps(trace: Trace, stories: Sequence[Story], merged: Sequence[Draft], unread: Sequence[str]) -> list[Gap]:
    gaps = [Gap(-1, "missing", problem) for problem in trace.problems]
    gaps += [Gap(-1, "recording not readable", problem) for problem in unread]
    for story in stories:
        gaps += [Gap(story.process, "recording damaged", problem) for problem in story.memory.problems]
        if story.homeless:
            detail = f"{story.homeless:,} records belong to calls that had begun before the request"
            gaps.append(Gap(story.process, "beginning lost", detail))
    for draft in merged:
        if draft.kind is StepKind.GAP:
            reason, _, detail = draft.text.partition(": ")
            gaps.append(Gap(draft.process, reason, detail, draft.index - 1))
    return gaps
