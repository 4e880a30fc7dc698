"""One request as an outline: spans over all services, the recorded calls inside them, logs, keeps and gaps in place.

However large the request, the outline is bounded: what matters comes first, and what was left out is counted.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aftertrace.model import LogRecord, Span, StatusCode
from aftertrace.reconstruct.execution import Execution, Frame, Step, StepKind
from aftertrace.reconstruct.tree import SpanTree, open_circles

SERIOUS = 17  # OTLP severity of ERROR
_FIRST, _FIRST_SHARE = 12, 0.05  # children of one node that are shown while there is room; at least of the limit
_ALIKE, _ALIKE_SHARE = 4, 0.02  # of them with the same label
_SAME_LOG_NS = 50_000_000  # one log call, recorded and sent as a log record

type Content = Span | Frame | LogRecord | Step


@dataclass(slots=True)
class Node:
    """``time_ns`` is corrected; ``serious``: it failed, was kept, or tells of a failure, or something in it does."""

    key: str
    content: Content
    label: str
    time_ns: int
    order: int  # the step at which it begins, -1: unknown
    serious: bool = False
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Children of a node that are not shown, and how many of each label."""

    count: int
    labels: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Row:
    depth: int
    content: Content | LeftOut


def rows(execution: Execution, limit: int, *, calls: bool = True) -> tuple[list[Row], int]:
    """At most ``limit`` nodes in order (and a row for what each of them leaves out), and how many were left out."""
    roots, count = _roots(_nodes(execution, calls=calls), execution)
    chosen = _choose(roots, limit)
    return list(_flat(roots, chosen)), count - len(chosen)


# -- nodes


def _nodes(execution: Execution, *, calls: bool) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    starts = {step.span_id: step.index for step in reversed(execution.steps) if step.kind is StepKind.SPAN_START}
    for span in execution.spans.values():
        failed = span.status is StatusCode.ERROR or not span.end_ns
        order = starts.get(span.span_id, -1)
        nodes[f"s{span.span_id}"] = Node(f"s{span.span_id}", span, span.name, span.start_ns, order, failed)
    if calls:
        for frame in execution.frames.values():
            if frame.first_step >= 0:
                step = execution.steps[frame.first_step]
                failed = execution.steps[frame.last_step].kind is StepKind.UNWIND
                key = _call(frame.process, frame.activation)
                nodes[key] = Node(key, frame, frame.code.qualname, step.time_ns, step.index, failed)
    for step in execution.steps:
        if step.kind in {StepKind.KEEP, StepKind.GAP}:
            key = f"e{step.index}"
            nodes[key] = Node(key, step, step.kind.value, step.time_ns, step.index, serious=True)
    nodes.update(_logs(execution))
    return nodes


def _call(process: int, activation: int) -> str:
    return f"c{process}.{activation}"


def _logs(execution: Execution) -> Iterator[tuple[str, Node]]:
    """Each log call once: where it was recorded also as a step, it stands at that step."""
    steps: dict[str, list[Step]] = {}
    for step in execution.steps:
        if step.kind is StepKind.LOG:
            steps.setdefault(step.text, []).append(step)
    met: set[int] = set()
    for number, log in enumerate(execution.logs):
        same = steps.get(str(log.body), ())
        found = next((one for one in same if one.index not in met and _is(execution, one, log)), None)
        order = found.index if found is not None else -1
        met.add(order)
        time_ns = found.time_ns if found is not None else log.time_ns
        yield f"l{number}", Node(f"l{number}", log, "log", time_ns, order, log.severity >= SERIOUS)
    for several in steps.values():
        for step in several:
            if step.index not in met:
                yield f"e{step.index}", Node(f"e{step.index}", step, "log", step.time_ns, step.index)


def _is(execution: Execution, step: Step, log: LogRecord) -> bool:
    process = execution.processes[step.process]
    apart = step.time_ns - process.skew_ns - log.time_ns
    return process.service == log.resource.service and abs(apart) < _SAME_LOG_NS


# -- who is in whom


def _roots(nodes: dict[str, Node], execution: Execution) -> tuple[list[Node], int]:
    """The outermost nodes, all linked, in time order; and how many nodes there are."""
    tree = SpanTree(execution.spans)
    parents = open_circles({key: _parent(node, nodes, execution, tree) for key, node in nodes.items()})
    roots: list[Node] = []
    for key, parent in parents.items():
        node = nodes[key]
        if parent:
            node.parent = nodes[parent]
            node.parent.children.append(node)
        else:
            roots.append(node)
    for node in nodes.values():
        node.children.sort(key=lambda one: (one.time_ns, one.order, one.key))
        if node.serious:
            _rise(node)
    roots.sort(key=lambda one: (one.time_ns, one.order, one.key))
    return roots, len(nodes)


def _rise(node: Node) -> None:
    above = node.parent
    while above is not None and not above.serious:
        above.serious = True
        above = above.parent


def _parent(node: Node, nodes: Mapping[str, Node], execution: Execution, tree: SpanTree) -> str:
    """The key of the node that this one lies in, "" for none."""
    content = node.content
    if isinstance(content, Span):
        above = tree.parent(content.span_id)
        inside = _around(execution, node.order) if node.order >= 0 else ""
        if inside in nodes and (above is None or _span_of(nodes[inside]) == above.span_id):
            return inside
        return f"s{above.span_id}" if above is not None else ""
    if isinstance(content, Frame):
        caller = execution.frames.get((content.process, content.parent)) if content.parent else None
        key = _call(caller.process, caller.activation) if caller is not None else ""
        if caller is not None and key in nodes and caller.span_id == content.span_id:
            return key
        return f"s{content.span_id}" if f"s{content.span_id}" in nodes else key if key in nodes else ""
    inside = _around(execution, node.order) if node.order >= 0 else ""
    return inside if inside in nodes else f"s{content.span_id}" if f"s{content.span_id}" in nodes else ""


def _around(execution: Execution, index: int) -> str:
    step = execution.steps[index]
    return _call(step.process, step.activation) if step.activation else ""


def _span_of(node: Node) -> str:
    return node.content.span_id


# -- what is shown


def _choose(roots: list[Node], limit: int) -> set[str]:
    """Outer before inner, and what is serious before all else: with each node its whole way from the root."""
    chosen: set[str] = set()
    waiting: list[tuple[bool, int, int, Node]] = []
    offered = itertools.count()
    first, alike = max(_FIRST, int(limit * _FIRST_SHARE)), max(_ALIKE, int(limit * _ALIKE_SHARE))

    def offer(nodes: list[Node], depth: int) -> None:
        serious = [node for node in nodes if node.serious]
        plain = _varied([node for node in nodes if not node.serious], alike)
        for number, node in enumerate(serious):
            heapq.heappush(waiting, (number >= first, depth, next(offered), node))
        for node in plain[: max(first - len(serious), 2)]:
            heapq.heappush(waiting, (True, depth, next(offered), node))

    offer(roots, 0)
    while waiting and len(chosen) < limit:
        _, depth, _, node = heapq.heappop(waiting)
        chosen.add(node.key)
        offer(node.children, depth + 1)
    return chosen


def _varied(nodes: list[Node], alike: int) -> list[Node]:
    """The first few of each label: a hundred calls of one function say what three say."""
    met: Counter[str] = Counter()
    found = []
    for node in nodes:
        met[node.label] += 1
        if met[node.label] <= alike:
            found.append(node)
    return found


def _flat(roots: list[Node], chosen: set[str]) -> Iterator[Row]:
    """Without recursion: spans may be nested ten thousand deep."""
    stack: list[tuple[int, Node | LeftOut]] = list(reversed(_shown(roots, chosen, 0)))
    while stack:
        depth, one = stack.pop()
        if isinstance(one, LeftOut):
            yield Row(depth, one)
            continue
        yield Row(depth, one.content)
        stack.extend(reversed(_shown(one.children, chosen, depth + 1)))


def _shown(nodes: list[Node], chosen: set[str], depth: int) -> list[tuple[int, Node | LeftOut]]:
    found: list[tuple[int, Node | LeftOut]] = [(depth, node) for node in nodes if node.key in chosen]
    missing = [number for number, node in enumerate(nodes) if node.key not in chosen]
    if missing:
        labels = Counter(nodes[number].label for number in missing)
        found.insert(missing[0], (depth, LeftOut(len(missing), labels.most_common(3))))
    return found
