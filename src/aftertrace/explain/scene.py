"""An execution with its sources: what an expression was worth at a step, and which recorded call gave it."""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aftertrace.errors import AftertraceError, BadRecording
from aftertrace.explain.likeness import ABSENT, Key, Keys, part
from aftertrace.explain.texts import Text, called
from aftertrace.model import Scalar, Span, Value, ValueKind
from aftertrace.reconstruct import operators
from aftertrace.reconstruct.execution import Binding, Code, Execution, Frame, Shed, Step, StepKind
from aftertrace.reconstruct.expression import Expression
from aftertrace.reconstruct.flow import Flow
from aftertrace.wire import linetable
from aftertrace.wire.equality import cut
from aftertrace.wire.linetable import Place

_DEPTH = 40  # of nested expressions
_NOT_KNOWN = Value(ValueKind.MISSING, "")
COROUTINE = 0x80 | 0x100  # co_flags: coroutine, generator used as one
GENERATOR = 0x20 | 0x200  # co_flags: generator, asynchronous generator


type SetBetween = Callable[[Value, Key, int, int], bool]  # (object, its part, after, before) -> was it set there?


@dataclass(frozen=True, slots=True)
class Point:
    """What is at ``keys`` of an expression, as a frame evaluated it between two steps (indexes)."""

    frame: Frame
    node: ast.expr
    step: int  # the names hold what they held here
    until: int  # the expression had its value here
    keys: Keys = ()

    def to(self, node: ast.expr, keys: Keys | None = None) -> Point:
        """Another expression, evaluated at the same time."""
        return Point(self.frame, node, self.step, self.until, self.keys if keys is None else keys)


class Scene:
    """Everything that the search for a cause asks of a recording."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.flow = Flow(execution)
        self._texts: dict[tuple[int, str], Text | None] = {}
        self._by_hash: dict[str, Text] = {}
        self._scopes: dict[tuple[int, int], ast.AST | None] = {}
        self._places: dict[tuple[int, int], dict[int, Place]] = {}
        self._captures: dict[tuple[int, int, str], list[tuple[int, Value]]] | None = None
        self.set_between: SetBetween = lambda *_: False  # the Stores of this scene know
        self._children: dict[tuple[int, int], list[Frame]] = {}
        for frame in execution.frames.values():
            entered = execution.entered_at(frame, frame.first_step) if frame.first_step >= 0 else None
            if entered and entered.parent:
                self._children.setdefault((frame.process, entered.parent), []).append(frame)
        for found in self._children.values():
            found.sort(key=lambda one: one.first_step)
        self._shed = {(one.process, _calling(one.function)): one for one in execution.shed if one.what == "function"}

    # -- sources

    def text(self, process: int, path: str) -> Text | None:
        key = (process, path)
        if key not in self._texts:
            source = self.execution.sources.get(key)
            if source is not None and source.sha256 not in self._by_hash:
                self._by_hash[source.sha256] = Text(source.text)
            self._texts[key] = self._by_hash[source.sha256] if source is not None else None
        return self._texts[key]

    def text_of(self, frame: Frame) -> Text | None:
        return self.text(frame.process, frame.code.path)

    def scope(self, frame: Frame) -> ast.AST | None:
        """The node of the frame's code."""
        key = (frame.process, frame.code.id)
        if key not in self._scopes:
            text = self.text_of(frame)
            self._scopes[key] = text.function(frame.code) if text else None
        return self._scopes[key]

    def source_line(self, frame: Frame, line: int) -> str:
        text = self.text_of(frame)
        return text.line(line) if text else ""

    def statement(self, frame: Frame, line: int) -> ast.stmt | None:
        """The innermost statement to whose own text a line belongs."""
        text, scope = self.text_of(frame), self.scope(frame)
        found = text.statements(scope, line) if text and scope else []
        return found[0] if found else None

    def place(self, process: int, code: Code, lasti: int) -> Place | None:
        """Where an instruction stands, with its columns; None when that is not known."""
        key = (process, code.id)
        if key not in self._places:
            try:
                self._places[key] = linetable.places(code.table, code.first_line)
            except BadRecording:
                self._places[key] = {}
        found = self._places[key].get(lasti)
        return found if found is not None and found.column >= 0 else None

    def node_at(self, frame: Frame, lasti: int) -> ast.AST | None:
        """The node for which an instruction of a frame's code stands."""
        text, place = self.text_of(frame), self.place(frame.process, frame.code, lasti)
        return text.at(place) if text else None

    # -- frames and steps

    def step(self, index: int) -> Step:
        return self.execution.steps[index]

    def children(self, frame: Frame, after: int, until: int) -> list[Frame]:
        """Frames that this one called between two steps."""
        found = self._children.get((frame.process, frame.activation), [])
        low = bisect_right(found, after, key=lambda one: one.first_step)
        return found[low : bisect_left(found, until, key=lambda one: one.first_step)]

    def callees(self, point: Point, node: ast.expr) -> list[Frame]:
        """Recorded frames that this very expression called, in order; not what a function called that was shed."""
        found = []
        for child in self.children(point.frame, point.step, point.until):
            entered = self.execution.entered_at(child, child.first_step)
            place = self.place(child.process, point.frame.code, entered.call_site) if entered else None
            if place is None or place not in self._ranges(point.frame, node):
                continue
            if not self._behind_shed(child, node):
                found.append(child)
        return found

    def _behind_shed(self, child: Frame, node: ast.AST) -> bool:
        call = node.value if isinstance(node, ast.Await) else node
        name = called(call) if isinstance(call, ast.Call) else ""
        own = _calling(child.code.qualname)
        return own != name and (child.process, name) in self._shed

    def _ranges(self, frame: Frame, node: ast.expr) -> list[Place]:
        """A call's own, and that of its await: a coroutine begins there."""
        nodes: list[ast.AST | None] = [node]
        text = self.text_of(frame)
        parent = text.parent(node) if text else None
        nodes += [parent] if isinstance(parent, ast.Await) else []
        nodes += [node.value] if isinstance(node, ast.Await) else []
        return [
            Place(one.lineno, one.end_lineno or 0, one.col_offset, one.end_col_offset or 0)
            for one in nodes
            if isinstance(one, ast.expr)
        ]

    def steps_between(self, frame: Frame, after: int, until: int) -> Sequence[int]:
        """A frame's own steps, both ends left out."""
        own = self.execution.steps_of(frame)
        return own[bisect_right(own, after) : bisect_left(own, until)]

    def returned(self, frame: Frame, before: int) -> Step | None:
        """The step at which a frame gave its result, if it did so before a step."""
        last = self.step(frame.last_step) if frame.last_step >= 0 else None
        return last if last is not None and last.kind is StepKind.RETURN and last.index <= before else None

    def ran(self, frame: Frame, line: int, before: int) -> int | None:
        """The LINE step at which the statement on a line last began to run before a step; None where lines that were
        not recorded may have run since."""
        own = self.execution.steps_of(frame)
        at = bisect_left(own, before)
        if at < len(own) and own[at] == before and self.step(before).unseen:
            return None
        while at > 0:
            at -= 1
            step = self.step(own[at])
            if step.kind is StepKind.LINE and step.line == line:
                return self._begin(frame, own, at)
            if step.unseen:
                return None
        return None

    def _begin(self, frame: Frame, own: Sequence[int], at: int) -> int:
        """A statement over several lines has a LINE for each: the first of them."""
        statement = self.statement(frame, self.step(own[at]).line)
        if statement is None or statement.end_lineno == statement.lineno or isinstance(statement, ast.For | ast.While):
            return own[at]
        first = own[at]
        for place in range(at - 1, -1, -1):
            step = self.step(own[place])
            if step.kind is StepKind.LINE:
                if not statement.lineno <= step.line <= (statement.end_lineno or 0):
                    break
                if self.statement(frame, step.line) is not statement:
                    break
                first = own[place]
        return first

    def loop_began(self, frame: Frame, loop: ast.For | ast.AsyncFor, ran: int) -> int:
        """The LINE step at which a loop evaluated what it goes over, for one of its rounds."""
        own = self.execution.steps_of(frame)
        first = ran
        for place in range(bisect_left(own, ran), -1, -1):
            step = self.step(own[place])
            if step.kind is StepKind.LINE:
                if not loop.lineno <= step.line <= (loop.end_lineno or 0):
                    break
                first = own[place]
        return first

    def line_before(self, frame: Frame, index: int) -> int | None:
        """The LINE step at which the statement that runs at a step began; None where its line was not recorded."""
        own = self.execution.steps_of(frame)
        at = bisect_right(own, index)
        while at > 0:
            at -= 1
            if self.step(own[at]).kind is StepKind.LINE:
                return self._begin(frame, own, at)
            if self.step(own[at]).unseen:
                return None
        return None

    def shed(self, point: Point, node: ast.AST) -> Shed | None:
        """The function that a call names, if it was shed and no frame of this call is recorded to its end. A method of
        a plain container is none of ours."""
        call = node.value if isinstance(node, ast.Await) else node
        if not isinstance(call, ast.Call) or any(self._ended(one) for one in self.callees(point, call)):
            return None
        if isinstance(call.func, ast.Attribute):
            held = self.evaluate(point, call.func.value)
            if held is not None and held.kind not in {ValueKind.OBJECT, ValueKind.NAMED, ValueKind.MISSING}:
                return None
        return self._shed.get((point.frame.process, called(call)))

    def _ended(self, frame: Frame) -> bool:
        return frame.level == "lines" or self.step(frame.last_step).kind in {StepKind.RETURN, StepKind.UNWIND}

    # -- values

    def binding(self, frame: Frame, name: str, step: int) -> Binding | None:
        """What a name held when a step was reached."""
        history = self.execution.history(frame, name)
        at = bisect_right(history, step, key=lambda one: one.written_at)
        found = history[at - 1] if at else None
        return found if found is not None and found.value.kind is not ValueKind.UNBOUND else None

    def value(self, point: Point) -> Value | None:
        """What a point was worth; None when that is not known, ABSENT when there is no such part."""
        whole = self.evaluate(point, point.node)
        return self.dig(point, whole, point.keys) if whole is not None else None

    def evaluate(self, point: Point, node: ast.expr, depth: int = 0) -> Value | None:
        """What an expression was worth at a point, if it follows from what was recorded."""
        if depth > _DEPTH:
            return None
        match node:
            case ast.Name(id=name):
                return self._held(point, name)
            case ast.Constant(value=constant):
                return operators.make(constant) if constant is not ... else None
            case ast.NamedExpr(value=inner):
                return self.evaluate(point, inner, depth + 1)
            case ast.Attribute(value=inner, attr=name):
                return self._called(point, node) or self._part(point, inner, Key(name, attribute=True), depth)
            case ast.Subscript(value=inner, slice=index) if not isinstance(index, ast.Slice):
                key = self.key(point, index, depth + 1)
                return (self._called(point, node) or self._part(point, inner, key, depth)) if key is not None else None
            case ast.Await() | ast.Call():
                return self._called(point, node)
            case ast.Dict() | ast.List() | ast.Tuple():
                return self._display(point, node, depth)
            case _:
                return self._plain(point, node)

    def _held(self, point: Point, name: str) -> Value | None:
        binding = self.binding(point.frame, name, point.step)
        if binding is not None:
            return binding.value
        return self._late(point, name) or self.literal(point.frame, name)

    def _display(self, point: Point, node: ast.Dict | ast.List | ast.Tuple, depth: int) -> Value | None:
        """A display, with what is not known of it as missing."""
        if not isinstance(node, ast.Dict):
            if any(isinstance(one, ast.Starred) for one in node.elts):
                return None
            items = tuple(self.evaluate(point, one, depth + 1) or _NOT_KNOWN for one in node.elts)
            kind = "list" if isinstance(node, ast.List) else "tuple"
            return Value(ValueKind.SEQUENCE, kind, items=items, size=len(items))
        entries: dict[Scalar, tuple[Value, Value]] = {}
        for key, one in zip(node.keys, node.values, strict=True):
            value = self.evaluate(point, one, depth + 1)
            known = self.evaluate(point, key, depth + 1) if key is not None else None
            if known is not None and known.kind is ValueKind.SCALAR:
                entries[known.scalar] = (known, value or _NOT_KNOWN)
            elif key is None and value is not None and value.kind is ValueKind.MAPPING and not cut(value):
                entries |= {one.scalar: (one, item) for one, item in value.entries}
            else:
                return None
        return Value(ValueKind.MAPPING, "dict", entries=tuple(entries.values()), size=len(entries))

    def _part(self, point: Point, inner: ast.expr, key: Key, depth: int) -> Value | None:
        whole = self.evaluate(point, inner, depth + 1)
        found = self.dig(point, whole, (key,)) if whole is not None else None
        return None if found is ABSENT else found

    def dig(self, point: Point, value: Value, keys: Keys) -> Value | None:
        """As `part`, with the attributes that an object had at a point: they are not captured with every step."""
        found: Value | None = value
        for key in keys:
            if found is None or found is ABSENT:
                break
            if found.kind is ValueKind.OBJECT and found.identity:
                found = self._attribute(point, found, key)
            else:
                found = part(found, (key,))
        return found

    def _attribute(self, point: Point, whole: Value, key: Key) -> Value | None:
        """As captured last before the point (where its frame failed, just after), unless it was set since."""
        ends = self.step(point.until) if point.until < len(self.execution.steps) else None
        failed = ends is not None and ends.kind is StepKind.UNWIND and ends.activation == point.frame.activation
        limit = point.until if failed else point.step
        before: tuple[int, Value] | None = None
        for step, value in self.captures(point.frame.process, whole):
            inner = part(value, (key,))
            if inner is None or (step > limit and before is not None) or step > point.until:
                continue
            before = (step, inner)
            if step > limit:
                break
        if before is None:
            return part(whole, (key,))
        if before[0] < limit and self.set_between(whole, key, before[0], limit):
            return None
        return before[1]

    def captures(self, process: int, whole: Value) -> list[tuple[int, Value]]:
        """The steps at which an object was captured with its attributes, in order."""
        if self._captures is None:
            self._captures = {}
            for frame in self.execution.frames.values():
                for name in frame.code.names:
                    for one in self.execution.history(frame, name):
                        self._note(frame.process, one.written_at, one.value)
            for step in self.execution.steps:
                if step.value is not None:
                    self._note(step.process, step.index, step.value)
            for found in self._captures.values():
                found.sort(key=lambda one: one[0])
        return self._captures.get((process, whole.identity, whole.type), [])

    def _note(self, process: int, step: int, value: Value) -> None:
        if self._captures is None or value.kind is not ValueKind.OBJECT or not value.identity:
            return
        if value.attributes or value.missing is None:
            self._captures.setdefault((process, value.identity, value.type), []).append((step, value))

    def _late(self, point: Point, name: str) -> Value | None:
        """A name that the statement itself binds, as the variable of a comprehension: known once it has ended."""
        for binding in self.execution.history(point.frame, name):
            if point.step < binding.written_at <= point.until and binding.value.kind is not ValueKind.UNBOUND:
                return binding.value
        return None

    def _called(self, point: Point, node: ast.expr) -> Value | None:
        frames = self.callees(point, node)
        if not frames or frames[-1].code.name == "__init__" or frames[-1].code.flags & GENERATOR:
            return None
        done = self.returned(frames[-1], point.until)
        return done.value if done is not None else None

    def _plain(self, point: Point, node: ast.expr) -> Value | None:
        def lookup(name: str) -> Value | None:
            binding = self.binding(point.frame, name, point.step)
            return binding.value if binding else self.literal(point.frame, name)

        try:
            return Expression(ast.unparse(node)).evaluate(lookup).value
        except (AftertraceError, operators.Refused, operators.NotCaptured, ValueError, RecursionError):
            return None

    def key(self, point: Point, node: ast.expr, depth: int = 0) -> Key | None:
        """A subscript's key, when it is a plain value that was recorded."""
        value = self.evaluate(point, node, depth)
        plain = value is not None and value.kind is ValueKind.SCALAR
        return Key(value.scalar) if value is not None and plain else None

    # -- names of a module

    def constant(self, frame: Frame, name: str) -> ast.expr | None:
        """The expression of a module's name that its source assigns once."""
        text = self.text_of(frame)
        if text is None or name in frame.code.names:
            return None
        found = list(_assigned(text.tree, name))
        return found[0] if len(found) == 1 else None

    def is_constant(self, frame: Frame, node: ast.expr) -> bool:
        """Whether an expression is the name of what its module's source sets to a literal, once."""
        return (
            isinstance(node, ast.Name) and node.id not in frame.code.names and self.literal(frame, node.id) is not None
        )

    def literal(self, frame: Frame, name: str) -> Value | None:
        """The value of such a name where the source says it, and nothing can have changed it in place."""
        node = self.constant(frame, name)
        if node is None:
            return None
        try:
            found = Expression(ast.unparse(node)).evaluate(lambda _: None).value
        except (AftertraceError, ValueError, RecursionError):
            return None
        return found if found is not None and found.kind is ValueKind.SCALAR else None

    # -- spans

    def entry(self, step: Step) -> str:
        """The span with which the part of the request begins to which a step belongs."""
        return self.flow.tree.entry(step.span_id)

    def processes_of(self, entry: str) -> set[int]:
        """Processes with steps of their own in a part of the request."""
        steps = self.execution.steps
        return {step.process for step in steps if step.activation and self.entry(step) == entry}

    def sent(self, process: int, after: int, until: int, entry: str) -> Span | None:
        """The last call to another service that one part of the request began between two steps."""
        for index in range(min(until, len(self.execution.steps)) - 1, after, -1):
            step = self.step(index)
            if step.kind is StepKind.SPAN_START and step.process == process:
                span = self.execution.spans.get(step.span_id)
                if span is not None and span.kind.name in {"CLIENT", "PRODUCER"} and self.entry(step) == entry:
                    return span
        return None

    def parts_below(self, span: Span) -> list[Span]:
        """The entries of other parts of the request that a client's or producer's span caused."""
        return [
            one for one in self.flow.tree.children(span.span_id) if self.flow.tree.entry(one.span_id) == one.span_id
        ]


def _assigned(tree: ast.Module, name: str) -> Iterator[ast.expr]:
    """What is assigned to a module's name anywhere in it, functions that say ``global`` included."""
    globals_in = [one for one in ast.walk(tree) if isinstance(one, ast.Global) and name in one.names]
    for node in [*tree.body, *(n for _ in globals_in[:1] for n in ast.walk(tree) if n not in tree.body)]:
        match node:
            case ast.Assign(targets=targets, value=value) if any(_is(one, name) for one in targets):
                yield value
            case ast.AnnAssign(target=target, value=ast.expr() as value) if _is(target, name):
                yield value
            case ast.AugAssign(target=target, value=value) if _is(target, name):
                yield value


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name


def _calling(qualname: str) -> str:
    """The name by which a function is called: of ``__init__`` that of its class."""
    *outer, name = qualname.split(".")
    return outer[-1] if name == "__init__" and outer else name
