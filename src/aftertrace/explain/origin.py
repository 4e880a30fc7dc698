"""Where a value was made: backwards from an expression, by the statements that ran, to the line that made the value.

Each hop follows from what was recorded: which statement gave a name its value, which call gave a result, what was
passed. Where a hop rests on an equal value alone it says so (``sure`` is False).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aftertrace.explain import shed, texts
from aftertrace.explain.hops import End, Hop, Kind, Link, Move, Origin
from aftertrace.explain.likeness import ABSENT, Key, hole, part, parts, same, shown, telling
from aftertrace.explain.lookups import worth
from aftertrace.explain.moves import Moves
from aftertrace.explain.scene import GENERATOR, Point, Scene
from aftertrace.explain.stores import Stores
from aftertrace.explain.texts import Given
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Binding, Frame, StepKind

MOST_HOPS = 5000


class Tracer:
    """Follows values through one execution. ``rules`` for calls and parameters are in files of their own."""

    def __init__(
        self,
        scene: Scene,
        calls: Callable[..., Hop],
        parameters: Callable[..., Hop],
        returned: Callable[..., Hop],
        received: Callable[..., Move | None],
    ) -> None:
        self.scene = scene
        self.stores = Stores(scene)
        self.moves = Moves(scene)
        self._calls = calls
        self._returned = returned
        self._parameters = parameters
        self.received = received
        self.hops = 0  # over everything that was followed

    def trace(self, point: Point, start: Link, value: Value | None = None) -> Origin:
        """The origin of what a point was worth; ``start`` is the line where it is used."""
        value = self.scene.value(point) if value is None else value
        origin = Origin([start], End(Kind.LOST), point, None if value is ABSENT else value)
        seen: set[tuple[int, int, ast.expr, int, Any]] = set()
        while True:
            here = (point.frame.process, point.frame.activation, point.node, point.step, point.keys)
            self.hops += 1
            if here in seen or len(seen) >= MOST_HOPS:
                origin.end = End(Kind.LOST, "it goes in circles" if here in seen else "the way is too long")
                break
            seen.add(here)
            hop = self.hop(point, origin.value)
            if isinstance(hop, End):
                origin.end = hop
                origin.doubts += [hop.doubt] if hop.doubt else []
                if hop.link is not None:
                    origin.links.append(hop.link if hop.link.value else replace(hop.link, value=origin.value))
                break
            if not self._fits(hop, origin):
                origin.end = End(Kind.LOST, "what is recorded there is another value")
                break
            point = hop.point
        origin.point = point
        if origin.value is None and origin.end.kind in {Kind.COMPUTED, Kind.LITERAL}:
            found = self.scene.value(point)
            origin.value = None if found is ABSENT else found
        if origin.made.value is None:
            origin.links[-1] = replace(origin.made, value=origin.value)
        if origin.end.line and origin.end.line != origin.made.line:
            origin.links[-1] = replace(origin.made, line=origin.end.line)
        return origin

    def _fits(self, hop: Move, origin: Origin) -> bool:
        """Takes a hop, unless what is recorded there contradicts it."""
        found = hop.value if hop.value is not None else self.scene.value(hop.point)
        if found is not None and origin.value is not None and hop.value is None and same(found, origin.value) is False:
            return False
        if found is not None and found is not ABSENT and (origin.value is None or hop.value is not None):
            origin.value = found
        if hop.doubt:
            origin.doubts.append(hop.doubt)
        if hop.link is not None:
            link = hop.link if hop.link.value is not None else replace(hop.link, value=origin.value)
            origin.links.append(link)
        return True

    def hop(self, point: Point, value: Value | None) -> Hop:
        match point.node:
            case ast.Name(id=name):
                return self._name(point, name, value)
            case ast.Attribute() | ast.Subscript() as node:
                return self._part(point, node, value)
            case ast.Call() | ast.Await():
                return self._calls(self, point, value)
            case ast.Constant():
                return End(Kind.LITERAL, line=point.node.lineno)
            case ast.NamedExpr(value=inner) | ast.Starred(value=inner):
                return Move(point.to(inner))
            case ast.BoolOp(values=parts):
                return self._branch(point, parts, "or", value)
            case ast.IfExp(body=body, orelse=other):
                return self._branch(point, [body, other], "if ... else", value)
            case ast.Dict() | ast.List() | ast.Tuple():
                return self._element(point)
            case _:
                return self._computed(point, value)

    def _computed(self, point: Point, value: Value | None) -> Hop:
        """By an operator. A part of the result came from one of its inputs: of joined dicts the last that has it."""
        if not point.keys:
            return End(Kind.COMPUTED, line=point.node.lineno)
        if isinstance(point.node, ast.ListComp):
            return self._comprehended(point, value, point.node.elt, point.node.generators)
        holds: list[ast.expr] = []
        for one in texts.inputs(point.node):
            inner = self.scene.value(point.to(one))
            if inner is not None and inner is not ABSENT and (value is None or same(inner, value)):
                holds.append(one)
        joined = isinstance(point.node, ast.BinOp) and isinstance(point.node.op, ast.BitOr)
        if len(holds) == 1 or (holds and joined):
            return Move(point.to(holds[-1]))
        return End(Kind.COMPUTED, line=point.node.lineno, doubt="from which of its inputs it came is not recorded")

    def _comprehended(
        self, point: Point, value: Value | None, element: ast.expr, rounds: list[ast.comprehension]
    ) -> Hop:
        """An item of a list: what the call of its round gave, where each round made a recorded one."""
        key, rest = point.keys[0], point.keys[1:]
        frames = self.scene.callees(point, element) if isinstance(element, ast.Call | ast.Await) else []
        every = len(rounds) == 1 and not rounds[0].ifs
        if every and isinstance(key.name, int) and 0 <= key.name < len(frames):
            done = self.scene.returned(frames[key.name], point.until)
            given = part(done.value, rest) if done is not None and done.value is not None else None
            if done is not None and given is not ABSENT and _could(given, value):
                return self._returned(self.scene, frames[key.name], done, rest)
        return End(Kind.COMPUTED, line=point.node.lineno, doubt="what its round worked with is not recorded")

    # -- names

    def _name(self, point: Point, name: str, value: Value | None) -> Hop:
        hop = self._named(point, name, value)
        moved = self.moves.doubt(point) if point.keys and isinstance(hop, Move) and not hop.doubt else ""
        return replace(hop, doubt=moved) if moved else hop

    def _named(self, point: Point, name: str, value: Value | None) -> Hop:
        stored = self.stores.find(point, value) if point.keys else None
        if stored is not None:
            return stored
        binding = self.scene.binding(point.frame, name, point.step)
        if binding is None:
            return self._unbound(point, name, value)
        binding = self._first_of(point.frame, binding)
        entered = self.scene.execution.steps_of(point.frame)
        if point.frame.complete and entered and binding.written_at == entered[0]:
            if name in point.frame.code.arguments:
                return self._parameters(self, point, name, value)
            return self._closure(point, name, binding)
        if not point.frame.complete and entered and binding.written_at == entered[0]:  # read before its span began
            sent = self._parameters(self, point, name, value)
            if isinstance(sent, Move):
                return sent
        return self._written(point, name, binding, value)

    def _first_of(self, frame: Frame, binding: Binding) -> Binding:
        """A mutable that changed in place is written again: the binding at which the name got this object."""
        history = self.scene.execution.history(frame, binding.name)
        at = next((n for n, one in enumerate(history) if one is binding), 0)
        while at and binding.value.identity and history[at - 1].value.identity == binding.value.identity:
            if history[at].line and self._given(frame, history[at]) is not None:
                break
            at -= 1
        return history[at]

    def _given(self, frame: Frame, binding: Binding) -> Given | None:
        source, scope = self.scene.text_of(frame), self.scene.scope(frame)
        return source.given(scope, binding.line, binding.name) if source and scope and binding.line else None

    def _unbound(self, point: Point, name: str, value: Value | None) -> Hop:
        """A name of the comprehension itself, or of the module."""
        scope, source = self.scene.scope(point.frame), self.scene.text_of(point.frame)
        if scope is not None and source is not None and name in point.frame.code.names:
            given = source.given(scope, point.node.lineno, name)
            if given is not None and given.how == "item" and given.source is not None:
                held = self.scene.evaluate(point, point.node) or (None if point.keys else value)
                return self.item(point.to(given.source), given, held, None)
        node = self.scene.constant(point.frame, name)
        if node is None or value is None or (point.keys and _is_bare(node)):
            lost = End(Kind.LOST, f"{name} is not a recorded name", unknown=f"what {name} held")
            return self.received(self.scene, point, value) or lost
        link = Link(point.frame, node.lineno, point.step, name, None, "set when the module was imported")
        doubt = f"{name} was set before the recording; its source says so once"
        return Move(Point(point.frame, node, point.step, point.step, point.keys), link, doubt)

    def _closure(self, point: Point, name: str, binding: Binding) -> Hop:
        outer = point.frame.code.qualname.rpartition(".<locals>.")[0]
        best: Frame | None = None
        for frame in self.scene.execution.frames.values():
            if frame.process != point.frame.process or frame.code.qualname != outer:
                continue
            held = self.scene.binding(frame, name, binding.written_at)
            if (
                held
                and same(held.value, binding.value) is not False
                and (not best or frame.first_step > best.first_step)
            ):
                best = frame
        if best is None:
            return End(Kind.LOST, f"{name} was set where nothing was recorded", unknown=f"who set {name}")
        line = self.scene.execution.line_at(best, binding.written_at)
        link = Link(best, line, binding.written_at, name, binding.value, "taken along by an inner function")
        inner = ast.Name(name, ast.Load(), lineno=line, col_offset=0)
        return Move(Point(best, inner, binding.written_at, binding.written_at, point.keys), link)

    def _written(self, point: Point, name: str, binding: Binding, value: Value | None) -> Hop:
        given = self._given(point.frame, binding)
        ran = self.scene.ran(point.frame, binding.line, binding.written_at) if binding.line else None
        if given is None or ran is None:
            unknown = shed.because(f"who set {name}", point.frame)
            return End(Kind.LOST, f"the line that set {name} is not recorded", unknown=unknown)
        written = part(binding.value, point.keys)
        shows = None if written is ABSENT else written
        link = Link(point.frame, binding.line, binding.written_at, name + shown(point.keys), shows, ran=ran)
        if given.source is None:
            return End(Kind.COMPUTED, "an exception that was caught" if given.how == "caught" else "", link=link)
        if isinstance(given.statement, ast.For | ast.AsyncFor):
            ran = self.scene.loop_began(point.frame, given.statement, ran)
        at = Point(point.frame, given.source, ran, binding.written_at, given.keys + point.keys)
        if given.how == "item":
            return self.item(at, given, binding.value, link, point.keys)
        if given.how == "entered":
            return self._entered(at, link, value)
        if given.how == "changed" and isinstance(given.statement, ast.AugAssign):
            return Move(at.to(_sum(given.statement)), link, value=shows)
        return Move(at, link)

    def item(self, at: Point, given: Given, held: Value | None, link: Link | None, keys: tuple[Key, ...] = ()) -> Hop:
        """One of the items of the point's node: of a generator what it gave last, else the item that is the same."""
        for frame in reversed(self.scene.callees(at, at.node) or self._generators(at)):
            yielded = self._yielded(frame, at, held if not given.keys else None)
            if yielded is not None:
                return Move(replace(yielded, keys=given.keys + keys), link or self._yield_link(yielded))
        source, wrap = _iterated(at.node)
        if isinstance(source, ast.Call) and (found_in := texts.lookup(source)) and found_in.key is not None:
            key = self.scene.key(at, found_in.key)
            if key is not None and self.scene.value(at.to(found_in.container, (key,))) not in {None, ABSENT}:
                source = ast.copy_location(ast.Subscript(found_in.container, found_in.key, ast.Load()), source)
        whole = self.scene.evaluate(at, source)
        if whole is None:
            return self._unknown_item(at, held, link)
        inner = given.keys[1:] if wrap else given.keys
        if wrap and given.keys[:1] == (Key(0),):
            return End(Kind.COMPUTED, link=link)
        items = _items(whole)
        found = [key for key, one in items if held is not None and same(part(one, inner) or one, held)]
        if len(found) == 1 or (found and telling(held or whole)):
            all_known = all(one.kind is not ValueKind.MISSING for _, one in items)
            doubt = "" if len(found) == 1 and all_known else "several items are, or may be, the same"
            return Move(at.to(source, (found[0], *inner, *keys)), link, doubt)
        return self._unknown_item(at, held, link)

    def _unknown_item(self, at: Point, held: Value | None, link: Link | None) -> Hop:
        """Made by what the loop calls, or an item that was not captured."""
        if texts.calls(at.node):
            return Move(at.to(at.node, ()), link, value=held)
        return End(
            Kind.LOST,
            "which item it was is not captured",
            link=link,
            unknown=f"where {ast.unparse(at.node)} got it",
        )

    def _generators(self, at: Point) -> list[Frame]:
        """Generators that the frame has run on between two steps."""
        frames: dict[int, Frame] = {}
        for index in range(at.step + 1, at.until):
            step = self.scene.step(index)
            if step.kind is StepKind.YIELD and step.process == at.frame.process:
                frame = self.scene.execution.frame(step)
                if frame and frame.code.flags & GENERATOR and self.scene.execution.caller_at(frame, index) is at.frame:
                    frames[frame.activation] = frame
        return list(frames.values())

    def _yielded(self, frame: Frame, at: Point, held: Value | None) -> Point | None:
        """The expression that a generator gave last before a point."""
        for index in reversed(self.scene.steps_between(frame, at.step, at.until)):
            step = self.scene.step(index)
            node = self.scene.node_at(frame, step.lasti) if step.kind is StepKind.YIELD else None
            if isinstance(node, ast.YieldFrom):
                inner = self._delegate(frame, index)
                return self._yielded(inner, at, held) if inner is not None else None
            if not isinstance(node, ast.Yield) or node.value is None:
                continue
            if held is None or step.value is None or same(step.value, held) is not False:
                ran = self.scene.line_before(frame, index)
                return Point(frame, node.value, index if ran is None else ran, index)
        return None

    def _delegate(self, frame: Frame, before: int) -> Frame | None:
        """The generator whose value a `yield from` passed on."""
        for index in range(before - 1, frame.first_step, -1):
            step = self.scene.step(index)
            if step.process == frame.process and step.kind is StepKind.YIELD:
                inner = self.scene.execution.frame(step)
                if inner is not None and self.scene.execution.caller_at(inner, index) is frame:
                    return inner
        return None

    def _yield_link(self, yielded: Point) -> Link:
        line = self.scene.step(yielded.until).line
        return Link(yielded.frame, line, yielded.until, ast.unparse(yielded.node), None, "given by a generator")

    def _entered(self, at: Point, link: Link, value: Value | None) -> Hop:
        """What a context manager gave: of a generator what it yielded, else made by the call."""
        for frame in reversed(self.scene.children(at.frame, at.step, at.until)):
            yielded = self._yielded(frame, at, value)
            if yielded is not None:
                return Move(replace(yielded, keys=at.keys), link)
            done = self.scene.returned(frame, at.until)
            if frame.code.name in {"__enter__", "__aenter__"} and done is not None:
                return Move(at, link)
        return Move(at, link, value=value)

    # -- parts

    def _part(self, point: Point, node: ast.Attribute | ast.Subscript, value: Value | None) -> Hop:
        if self.scene.callees(point, node):
            return self._calls(self, point, value)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            return End(Kind.COMPUTED, line=node.lineno)
        key = Key(node.attr, attribute=True) if isinstance(node, ast.Attribute) else self.scene.key(point, node.slice)
        if key is None:
            return End(Kind.COMPUTED, line=node.lineno)
        return Move(point.to(node.value, (key, *point.keys)))

    def _element(self, point: Point) -> Hop:
        """An entry of a display, by its key."""
        node = point.node
        if not point.keys:
            return End(Kind.COMPUTED, line=node.lineno)
        key, rest = point.keys[0], point.keys[1:]
        if isinstance(node, ast.Dict):
            for name, item in reversed(list(zip(node.keys, node.values, strict=True))):
                if name is None:
                    inner = self.scene.evaluate(point, item)
                    if inner is not None and part(inner, (key,)) not in {None, ABSENT}:
                        return Move(point.to(item))
                elif (known := self.scene.key(point, name)) is not None and known.name == key.name:
                    return Move(point.to(item, rest))
        elif isinstance(node, ast.List | ast.Tuple) and isinstance(key.name, int):
            plain = not any(isinstance(one, ast.Starred) for one in node.elts)
            if plain and -len(node.elts) <= key.name < len(node.elts):
                grown = key.name < 0 and isinstance(node, ast.List)
                doubt = "the list may have grown before it was read from its end" if grown else ""
                return Move(point.to(node.elts[key.name], rest), doubt=doubt)
        return End(Kind.COMPUTED, line=node.lineno, doubt="it was put in later, by what is not recorded")

    # -- branches

    def _branch(self, point: Point, parts: list[ast.expr], word: str, value: Value | None) -> Hop:
        """``a or b``, ``x if t else y``: the operand that was taken."""
        node = point.node
        test = self.scene.evaluate(point, node.test) if isinstance(node, ast.IfExp) else None
        fits = [one for one in parts if _could(worth(self.scene, point, one), value)]
        if len(fits) > 1 and test is not None and test.kind is ValueKind.SCALAR:
            fits = [parts[0] if test.scalar else parts[1]]
        if len(fits) != 1:
            return End(Kind.COMPUTED, line=node.lineno, doubt="which of its operands was taken is not recorded")
        taken = fits[0]
        if isinstance(taken, ast.Constant) or (value is not None and hole(value) and not texts.inputs(taken)):
            return End(Kind.DEFAULT, f"the literal of its `{word}` was taken", node.lineno)
        before = worth(self.scene, point, parts[0]) if word == "or" and taken is not parts[0] else None
        told = f", since {ast.unparse(parts[0])} was {text.of(before, 30)}" if before is not None else ""
        if taken is not parts[0] and self.scene.is_constant(point.frame, taken):
            return End(Kind.DEFAULT, f"the constant {ast.unparse(taken)} of its `{word}` was taken{told}", node.lineno)
        if before is not None and not hole(before):
            says = f"{ast.unparse(taken)} was taken{told}, which counts as false"
            return End(Kind.DEFAULT, says, node.lineno)
        return Move(point.to(taken))


def _is_bare(node: ast.expr) -> bool:
    """``Settings()``, ``{}``: of what was put into it since, the source says nothing."""
    match node:
        case ast.Call(args=[], keywords=[]) | ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
        case _:
            return False


def _could(found: Value | None, value: Value | None) -> bool:
    return found is None or value is None or same(found, value) is not False


def _sum(statement: ast.AugAssign) -> ast.expr:
    """``x += y`` as the expression that it computes."""
    made = ast.BinOp(statement.target, statement.op, statement.value)
    return ast.copy_location(made, statement)


def _iterated(source: ast.expr) -> tuple[ast.expr, str]:
    """What a loop goes over, and how: ``enumerate(x)``, ``d.items()`` wrap each item into a pair."""
    match source:
        case ast.Call(func=ast.Attribute(value=inner, attr="items"), args=[]):
            return inner, "items"
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]):
            return inner, "enumerate"
        case ast.Call(func=ast.Attribute(value=inner, attr="values"), args=[]):
            return inner, ""
        case ast.Call(func=ast.Name(id="list" | "tuple" | "sorted" | "reversed" | "iter" | "set"), args=[inner, *_]):
            return _iterated(inner)
        case _:
            return source, ""


def _items(whole: Value) -> list[tuple[Key, Value]]:
    if whole.kind is ValueKind.OBJECT:
        return []
    return [(key, one) for key, one in parts(whole) if not key.attribute]
