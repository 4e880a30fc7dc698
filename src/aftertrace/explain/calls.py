"""Values that a call gave: by recorded code, a default, what was passed in, another service, or code not recorded."""

from __future__ import annotations

import ast
from dataclasses import replace

from aftertrace.explain import shed, texts
from aftertrace.explain.hops import Border, End, Hop, Kind, Link, Move
from aftertrace.explain.likeness import ABSENT, IN_TEXT, Key, Keys, find, hole, part, same, shown, telling
from aftertrace.explain.origin import Tracer
from aftertrace.explain.scene import COROUTINE, GENERATOR, Point, Scene
from aftertrace.explain.stores import fields
from aftertrace.model import Span, Value, ValueKind
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.wire.equality import content

_MOST_FRAMES = 2000  # looked at for one that returned an equal value
_DEPTH = 5


def hop(tracer: Tracer, point: Point, value: Value | None) -> Hop:
    """Where the value of a call (or of an await, property, operator that is one) came from."""
    scene, node = tracer.scene, point.node
    for child in reversed(scene.callees(point, node)):
        found = _into(tracer, point, child, value)
        if found is not None:
            return found
    gone = scene.shed(point, node)
    if gone is not None:
        return shed.lost(gone)
    call = node.value if isinstance(node, ast.Await) else node
    if not isinstance(call, ast.Call):
        found = None if isinstance(node, ast.Await) else End(Kind.OPAQUE, line=node.lineno)
        return found or _elsewhere(tracer, point, value) or Move(point.to(call))
    return (
        _default(scene, point, call, value)
        or _constructed(scene, point, call)
        or _through(scene, point, call, value)
        or _elsewhere(tracer, point, value)
        or _answered(tracer, point, call, value)
        or _pure(scene, point, call)
        or tracer.received(scene, point, value)
        or End(
            Kind.OPAQUE, line=node.lineno, unknown=f"what {texts.called(call) or 'the call'}() did: it is not recorded"
        )
    )


# -- recorded code


def _into(tracer: Tracer, point: Point, child: Frame, value: Value | None) -> Hop | None:
    scene = tracer.scene
    if child.code.flags & GENERATOR and not isinstance(point.node, ast.Await):
        return None
    done = scene.returned(child, point.until)
    if done is None:
        return None
    if child.code.name == "__init__":
        return _initialised(tracer, point, child, done, value)
    given = part(done.value, point.keys) if done.value is not None else None
    alike = same(given, value) if given is not None and value is not None else None
    if alike is False or given is ABSENT:
        return None
    if alike is None and not _names(point.node, child):
        return None
    return returned(scene, child, done, point.keys)


def _names(node: ast.expr, child: Frame) -> bool:
    """Whether the expression calls the frame's function by its name (a decorator may have put another in between)."""
    call = node.value if isinstance(node, ast.Await) else node
    return not isinstance(call, ast.Call) or texts.called(call) in {child.code.name, ""}


def returned(scene: Scene, frame: Frame, done: Step, keys: Keys, border: Border | None = None) -> Hop:
    """To the expression that a frame returned."""
    node = scene.node_at(frame, done.lasti)
    scope = scene.scope(frame)
    statement = node if isinstance(node, ast.Return) else scene.statement(frame, done.line)
    if not isinstance(statement, ast.Return):
        statement = _return_before(scene, frame, done) or statement
    source = statement.value if isinstance(statement, ast.Return) else None
    if isinstance(scope, ast.Lambda):
        source = scope.body
    says = "" if border is None else "answered"
    if source is None and (done.value is None or done.value.type != "NoneType"):
        return End(Kind.LOST, f"which line of {frame.code.name} returned it is not known")
    if source is None:
        link = Link(frame, done.line, done.index, f"{frame.code.name}()", done.value, "ended without a return", border)
        return End(Kind.DEFAULT, "the function ended without a return: None", link=link)
    ran = scene.ran(frame, statement.lineno if isinstance(statement, ast.Return) else done.line, done.index)
    ran = scene.line_before(frame, done.index) if ran is None else ran
    at = Point(frame, source, done.index if ran is None else ran, done.index, keys)
    shows = part(done.value, keys) if done.value is not None else None
    name = ast.unparse(source) if isinstance(source, ast.Name | ast.Attribute) else f"{frame.code.name}()"
    name += shown(keys)
    line = statement.lineno if isinstance(statement, ast.Return) else done.line
    link = Link(frame, line, done.index, name, None if shows is ABSENT else shows, says, border, ran or -1)
    return Move(at, link)


def _return_before(scene: Scene, frame: Frame, done: Step) -> ast.Return | None:
    """The `return` that ran, where a `finally` or the end of a `with` came between it and the end."""
    for index in reversed(scene.steps_between(frame, frame.first_step, done.index)):
        step = scene.step(index)
        if step.kind is StepKind.RAISE:
            return None
        statement = scene.statement(frame, step.line) if step.kind is StepKind.LINE else None
        if isinstance(statement, ast.Return):
            return statement
    return None


def _initialised(tracer: Tracer, point: Point, child: Frame, done: Step, value: Value | None) -> Hop | None:
    """A part of a new object: set by its own ``__init__``."""
    if not point.keys or not child.code.arguments:
        return None
    me = ast.Name(child.code.arguments[0], ast.Load(), lineno=done.line, col_offset=0)
    key = Key(point.keys[0].name, attribute=True)
    return tracer.stores.find(Point(child, me, done.index, done.index, (key, *point.keys[1:])), value)


# -- defaults


def _default(scene: Scene, point: Point, call: ast.Call, value: Value | None) -> Hop | None:
    """``d.get(key, default)`` and its like: the default, or what the container holds."""
    found = texts.lookup(call)
    if found is None:
        return None
    container, wanted, default = found.container, found.key, found.default
    key = scene.key(point, wanted) if wanted is not None else None
    whole = scene.evaluate(point, container)
    if isinstance(container, ast.Name) and scene.binding(point.frame, container.id, point.step) is None:
        whole = None  # what the source says of it is no recording
    attribute = texts.called(call) == "getattr"
    inside = part(whole, (Key(key.name, attribute),)) if whole is not None and key is not None else None
    if inside is not None and inside is not ABSENT and key is not None:
        return Move(point.to(container, (Key(key.name, attribute), *point.keys)))
    held = scene.evaluate(point, default)
    if point.keys or value is None or held is None or not same(held, value):
        return None
    asked = scene.evaluate(point, wanted) if wanted is not None and not isinstance(wanted, ast.Constant) else None
    if wanted is not None and asked is not None and hole(asked):  # nobody has an entry for nothing: the key was wrong
        return Move(point.to(wanted, ()), value=asked)
    asked_for = repr(key.name) if key is not None else "what was asked"
    if inside is ABSENT:
        says = f"{ast.unparse(container)} has no {asked_for}: the default was taken"
    else:
        says = f"nothing for {asked_for}: the default was taken"
    if not isinstance(default, ast.Constant) and texts.inputs(default) and not scene.is_constant(point.frame, default):
        return Move(point.to(default))
    return End(Kind.DEFAULT, says, call.lineno, unknown=f"why {ast.unparse(container)} has no {asked_for}")


# -- what was passed in


def _constructed(scene: Scene, point: Point, call: ast.Call) -> Move | None:
    """A field of a new object, by the keyword or place at which it was given."""
    if not point.keys or not isinstance(point.keys[0].name, str):
        return None
    name, rest = point.keys[0].name, point.keys[1:]
    for keyword in call.keywords:
        if keyword.arg == name:
            return Move(point.to(keyword.value, rest))
    for process, path in scene.execution.sources:
        text = scene.text(process, path) if process == point.frame.process else None
        known = fields(text.tree, texts.called(call)) if text is not None else []
        if name in known and known.index(name) < len(call.args):
            argument = call.args[known.index(name)]
            if not any(isinstance(one, ast.Starred) for one in call.args[: known.index(name) + 1]):
                return Move(point.to(argument, rest))
    return None


def _through(scene: Scene, point: Point, call: ast.Call, value: Value | None) -> Move | None:
    """An input that holds the same value: the call passed it on."""
    if value is None:
        return None
    inputs = list(texts.arguments(call))
    if isinstance(call.func, ast.Attribute):
        inputs.append(call.func.value)
    held = [(one, whole) for one in inputs if (whole := scene.evaluate(point, one)) is not None]
    if point.keys[:1] == (IN_TEXT,):
        written = [one for one, whole in held if _holds(part(whole, point.keys[1:]), value)]
        return Move(point.to(written[0], point.keys[1:])) if len(written) == 1 else None
    exact = [one for one, whole in held if _holds(part(whole, point.keys), value)]
    if not exact and point.keys:
        read = [one for one, whole in held if _holds(part(whole, (IN_TEXT, *point.keys)), value)]
        if len(read) == 1:
            return Move(point.to(read[0], (IN_TEXT, *point.keys)))
    if len(exact) == 1:
        alone = len(inputs) == 1 or telling(value) or bool(point.keys)
        return Move(point.to(exact[0]), doubt="" if alone else f"an input of {texts.called(call)}() had the same value")
    if exact or not telling(value):
        return None
    inside = [(one, keys) for one, whole in held for keys in find(whole, value)]
    if len(inside) != 1:
        return None
    return Move(point.to(*inside[0]), doubt=f"{texts.called(call)}() was given the same value")


def _holds(found: Value | None, value: Value) -> bool:
    if found is None or found is ABSENT or not same(found, value):
        return False
    one, other = content(found), content(value)
    return one.kind is not other.kind or one.kind is not ValueKind.SCALAR or one.type == other.type


_PURE = {
    "abs", "all", "any", "ascii", "bin", "bool", "bytes", "chr", "dict", "divmod", "enumerate", "filter", "float",
    "format", "frozenset", "hex", "int", "len", "list", "max", "min", "oct", "ord", "pow", "range", "repr", "reversed",
    "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
}  # fmt: skip


def _pure(scene: Scene, point: Point, call: ast.Call) -> End | None:
    """A built-in that only computes from recorded values, or a method of a text: as good as an operator."""
    func = call.func
    if isinstance(func, ast.Name):
        known = func.id in _PURE and func.id not in point.frame.code.names
        known = known and scene.constant(point.frame, func.id) is None
    else:
        known = isinstance(func, ast.Attribute) and _is_text(scene, point, func.value)
    if not known or any(not _recorded(scene, point, one) for one in texts.arguments(call)):
        return None
    chose = (bool(point.keys) and isinstance(func, ast.Name)) or texts.called(call) in {"max", "min"}
    doubt = f"{texts.called(call)}() only chose among its inputs" if chose else ""
    return End(Kind.COMPUTED, line=point.node.lineno, doubt=doubt)


def _is_text(scene: Scene, point: Point, node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # text.strip().upper()
        return _is_text(scene, point, node.func.value) and node.func.attr in {
            "strip",
            "lstrip",
            "rstrip",
            "upper",
            "lower",
        }
    held = scene.evaluate(point, node)
    return held is not None and held.kind is ValueKind.SCALAR and held.type in {"str", "bytes"}


def _recorded(scene: Scene, point: Point, node: ast.expr) -> bool:
    return all(scene.evaluate(point, one) is not None for one in texts.inputs(node))


# -- results of tasks and threads


def _elsewhere(tracer: Tracer, point: Point, value: Value | None) -> Hop | None:
    """A task or thread that ended meanwhile with this result, and whose function this scope names."""
    scene = tracer.scene
    scope = scene.scope(point.frame)
    if scope is None or value is None or not (telling(value) or point.keys):
        return None
    names = {one.id for one in ast.walk(scope) if isinstance(one, ast.Name)}
    names |= {one.attr for one in ast.walk(scope) if isinstance(one, ast.Attribute)}
    found: list[tuple[Frame, Step, Keys]] = []
    for frame in _ended(scene, point):
        done = scene.returned(frame, point.until)
        if frame.code.name not in names or done is None or done.value is None:
            continue
        for keys in (point.keys, point.keys[1:]) if point.keys else ((),):
            inner = part(done.value, keys)
            if inner is not None and inner is not ABSENT and same(inner, value):
                found.append((frame, done, keys))
                break
    if not found:
        return None
    way = returned(scene, found[-1][0], found[-1][1], found[-1][2], Border("task", "its own task or thread"))
    doubt = "" if len(found) == 1 and telling(value) else "several tasks gave an equal result"
    return replace(way, doubt=doubt) if isinstance(way, Move) else way


def _ended(scene: Scene, point: Point) -> list[Frame]:
    """Frames of other tasks and threads of the process that ended before a point, since its frame began."""
    found: list[Frame] = []
    entry = scene.flow.tree.entry(point.frame.span_id)
    for index in range(point.until - 1, max(point.frame.first_step, point.until - 50_000), -1):
        step = scene.step(index)
        if step.kind is StepKind.RETURN and step.process == point.frame.process and scene.entry(step) == entry:
            frame = scene.execution.frame(step)
            if frame is not None and frame is not point.frame and _apart(scene, frame, point.frame):
                found.append(frame)
        if len(found) >= _MOST_FRAMES:
            break
    return list(reversed(found))


def _apart(scene: Scene, frame: Frame, waiting: Frame) -> bool:
    """Whether a frame is the outermost of a task or thread other than the one that waits for it."""
    own = scene.execution.caller_at(frame, frame.first_step)
    if own is None or own.thread != frame.thread:
        return True
    return own is not waiting and bool(frame.code.flags & COROUTINE) and not own.code.flags & COROUTINE


# -- answers of other services


def _answered(tracer: Tracer, point: Point, call: ast.Call, value: Value | None) -> Hop | None:
    """The call, or one whose result it looks into, asked another service: what that answered."""
    span = asked(tracer, point, call)
    if span is None:
        return None
    scene = tracer.scene
    if value is not None and value is not ABSENT:
        for below in scene.parts_below(span):
            for frame, done in results(scene, below.span_id):
                inner = part(done.value, point.keys) if done.value is not None else None
                if inner is not None and inner is not ABSENT and same(inner, value) and (point.keys or telling(value)):
                    return returned(scene, frame, done, point.keys, Border("answer", f"{below.service} answered"))
                told = _told(scene, returned(scene, frame, done, ()), point.keys, value, f"{below.service} answered")
                if told is not None:
                    return told
    return End(Kind.OPAQUE, line=point.node.lineno, span=span, unknown="what was answered")


def _told(scene: Scene, way: Hop, keys: Keys, value: Value, says: str) -> Move | None:
    """What a part answered by a framework's object (``jsonify(total=total), 201``): an equal value that this was given
    under the same name."""
    if not keys or not isinstance(way, Move) or way.link is None:
        return None
    node = way.point.node
    node = node.elts[0] if isinstance(node, ast.Tuple) and node.elts else node
    if not isinstance(node, ast.Call) or scene.callees(way.point, node):
        return None
    named = [(one.value, keys[1:]) for one in node.keywords if one.arg == keys[0].name]
    for given, rest in [*named, *((one, keys) for one in node.args)]:
        at = way.point.to(given, tuple(Key(key.name) for key in rest))
        held = scene.value(at)
        alike = same(held, value) if held is not None and held is not ABSENT else False
        if held is not None and (alike or (alike is None and rest != keys)):
            name = ast.unparse(given) + shown(rest)
            link = replace(way.link, name=name, value=held, says="answered", border=Border("answer", says))
            doubt = "" if telling(value) else "an equal value was answered under this name"
            return Move(at, link, doubt if alike else "what was answered under this name was not captured whole")
    return None


def asked(tracer: Tracer, point: Point, node: ast.expr, depth: int = 0) -> Span | None:
    """The client's span within an expression, or within the call that made what it looks into."""
    scene = tracer.scene
    start = scene.step(point.step)
    span = scene.sent(point.frame.process, point.step, point.until, scene.entry(start))
    if span is not None or depth >= _DEPTH:
        return span
    for one in _roots(node):
        at = point.to(one, ())
        held = scene.evaluate(at, one)
        if held is None or held.kind is not ValueKind.OBJECT:
            continue
        for _ in range(_DEPTH):  # through parameters and plain names, up to the call that gave the object
            way = tracer.hop(at, None)
            if not isinstance(way, Move):
                break
            at = way.point
            if isinstance(at.node, ast.Call | ast.Await):
                found = asked(tracer, at, at.node, depth + 1)
                if found is not None:
                    return found
                break
    return None


def _roots(node: ast.expr) -> list[ast.expr]:
    found = [texts.root(one) for one in texts.inputs(node)]
    for call in texts.calls(node):
        found += [texts.root(one) for one in texts.arguments(call)]
    return [one for one in found if isinstance(one, ast.Name)]


def results(scene: Scene, entry: str) -> list[tuple[Frame, Step]]:
    """The outermost frames of one part of the request that returned, and where."""
    found = []
    for frame in scene.execution.frames.values():
        if scene.flow.tree.entry(frame.span_id) == entry and scene.execution.caller_at(frame, frame.first_step) is None:
            done = scene.returned(frame, len(scene.execution.steps))
            if done is not None:
                found.append((frame, done))
    return found
