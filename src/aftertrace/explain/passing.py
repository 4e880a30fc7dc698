"""Values that were passed: from a parameter to the caller's argument, in the same process or in another service."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aftertrace.explain import shed, texts
from aftertrace.explain.hops import Border, End, Hop, Kind, Link, Move
from aftertrace.explain.likeness import ABSENT, IN_TEXT, Key, Keys, find, part, same, shown, telling
from aftertrace.explain.origin import Tracer
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.texts import Function
from aftertrace.model import Span, SpanKind, Value, ValueKind
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Entered, Frame, StepKind
from aftertrace.reconstruct.tree import EXITS
from aftertrace.wire.equality import content

Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_NAMES = (ast.Name, ast.Attribute)
_NOTHING = Value(ValueKind.MISSING, "")
_UNSURE = "an equal value was passed at its place, with code that is not recorded in between"
_MOST_RUNS = 200  # of one line that made tasks
_MOST_STEPS = 10_000  # looked back for the frame that sent a request


def hop(tracer: Tracer, point: Point, name: str, value: Value | None) -> Hop:
    """Where the argument ``name`` of the point's frame came from."""
    scene, frame = tracer.scene, point.frame
    caller = scene.execution.caller_at(frame, frame.first_step)
    if caller is not None:
        found = _from_caller(scene, point, name, value, caller)
        if found is not None:
            return found
    task = scene.flow.caller(frame, frame.first_step)
    if task is not None and task.border is not None and task.border.kind == "task":
        found = _from_task(scene, point, value, task.frame, task.step)
        if found is not None:
            return found
    if caller is not None:
        unknown = shed.because(f"who passed {name}", caller)
        return End(Kind.LOST, f"what was passed as {name} is not recorded", unknown=unknown)
    return _from_service(scene, point, name, value)


# -- the same process


def _from_caller(scene: Scene, point: Point, name: str, value: Value | None, caller: Frame) -> Hop | None:
    frame = point.frame
    entered = scene.execution.entered_at(frame, frame.first_step)
    ran = scene.line_before(caller, frame.first_step)
    if entered is None or ran is None:
        return None
    node = scene.node_at(caller, entered.call_site)
    node = node.value if isinstance(node, ast.Await) else node
    line = entered.call_line
    if not isinstance(node, ast.Call):
        node = _only_call(scene, caller, line, frame.code.name)
    if node is None:
        return _receiver(scene, point, name, entered, ran)
    at = Point(caller, node, ran, frame.first_step)
    gone = scene.shed(at, node) if isinstance(node, ast.Call) and texts.called(node) != frame.code.name else None
    if gone is not None:  # it was called, and called this one
        return shed.lost(gone)
    for found in _arguments(scene, point, name, at, node):
        given = part_of(scene, at, found)
        alike = same(given, value) if given is not None and value is not None else None
        if given is not ABSENT and (alike or (alike is None and found.sure)):
            doubt = "" if found.sure or telling(value or _NOTHING) or found.by_name else _UNSURE
            return Move(at.to(found.node, found.keys), _link(scene, at, found, line), doubt)
    scope = scene.scope(frame)
    if isinstance(scope, Scope) and _direct(scene, point, at, node):
        default = _default(point, scope, name)
        if default is not None:
            return default
    return _equal_argument(scene, at.to(node, point.keys), node, value)


def _only_call(scene: Scene, caller: Frame, line: int, name: str) -> ast.Call | None:
    """The call of a function by its name on a line, when columns are not known."""
    statement = scene.statement(caller, line)
    found = [one for one in texts.calls(statement) if texts.called(one) == name] if statement else []
    return found[0] if len(found) == 1 else None


def _receiver(scene: Scene, point: Point, name: str, entered: Entered, ran: int) -> Hop | None:
    """``self`` of a property or an operator."""
    caller = scene.execution.caller_at(point.frame, point.frame.first_step)
    node = scene.node_at(caller, entered.call_site) if caller is not None else None
    if caller is None or not isinstance(node, ast.Attribute | ast.Subscript) or name != point.frame.code.arguments[0]:
        return None
    at = Point(caller, node.value, ran, point.frame.first_step, point.keys)
    return Move(
        at,
        Link(caller, entered.call_line, ran, ast.unparse(node.value) + shown(point.keys), None, "passed on", ran=ran),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    node: ast.expr
    keys: Keys
    sure: bool = False  # it is what was passed, even where its value is not known
    by_name: bool = False


def part_of(scene: Scene, at: Point, found: _Found) -> Value | None:
    return scene.value(at.to(found.node, found.keys))


def _arguments(scene: Scene, point: Point, name: str, at: Point, call: ast.Call) -> Iterator[_Found]:
    """What may have been passed for a parameter, as Python binds it, the likeliest first."""
    scope = scene.scope(point.frame)
    if not isinstance(scope, Scope):
        return
    signature = scope.args
    places = [one.arg for one in [*signature.posonlyargs, *signature.args]]
    bound = _bound(scene, point.frame, scope, call)
    sure = _direct(scene, point, at, call)
    if bound and places and name == places[0]:
        if isinstance(call.func, ast.Attribute):
            yield _Found(call.func.value, point.keys, sure=True)
        return
    positional = places[1:] if bound else places
    if signature.vararg is not None and name == signature.vararg.arg:
        found = _rest(call, point.keys, len(positional))
        if found is not None:
            yield replace(found, sure=sure)
    elif signature.kwarg is not None and name == signature.kwarg.arg:
        if point.keys:
            yield from _keywords(call, f"{point.keys[0].name!s}", point.keys[1:], sure=sure)
    else:
        yield from _keywords(call, name, point.keys, sure=sure)
        found = _by_place(call, positional.index(name), point.keys) if name in positional else None
        if found is not None:
            yield replace(found, sure=sure)


def _direct(scene: Scene, point: Point, at: Point, call: ast.Call) -> bool:
    """Whether the call names the very function, so that nothing stands between them."""
    named = texts.called(call) == point.frame.code.name or point.frame.code.name in {"__init__", "__call__", "__new__"}
    if named or (isinstance(call.func, ast.Name) and _is_this(scene, at, call.func, point.frame)):
        return True
    return _decorates(scene, point.frame, texts.called(call))


def _decorates(scene: Scene, frame: Frame, name: str) -> bool:
    """Whether the frame is the inner function of a decorator that was put on a function of this name."""
    source = scene.text_of(frame)
    outer, inner, _ = frame.code.qualname.partition(".<locals>.")
    if source is None or not inner or not name:
        return False
    found = [one for one in ast.walk(source.tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    decorators = [decorator for one in found if one.name == name for decorator in one.decorator_list]
    roots = [one.func if isinstance(one, ast.Call) else one for one in decorators]
    return any(isinstance(one, ast.Name) and one.id == outer for one in roots)


def _bound(scene: Scene, frame: Frame, scope: ast.AST, call: ast.Call) -> bool:
    """Whether the first parameter is the receiver, and no argument."""
    source = scene.text_of(frame)
    owner = source.parent(scope) if source is not None else None
    if not isinstance(owner, ast.ClassDef) or isinstance(scope, ast.Lambda):
        return False
    decorators = {one.id for one in getattr(scope, "decorator_list", []) if isinstance(one, ast.Name)}
    explicit = (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == owner.name
    )
    return "staticmethod" not in decorators and (not explicit or "classmethod" in decorators)


def _is_this(scene: Scene, at: Point, func: ast.Name, frame: Frame) -> bool:
    """A local name that holds this function."""
    held = scene.evaluate(at, func)
    return held is not None and str(held.scalar).rpartition(".")[2] == frame.code.name


def _by_place(call: ast.Call, place: int, keys: Keys) -> _Found | None:
    for number, one in enumerate(call.args[: place + 1]):
        if isinstance(one, ast.Starred):
            return _Found(one.value, (Key(place - number), *keys))
    return _Found(call.args[place], keys) if place < len(call.args) else None


def _rest(call: ast.Call, keys: Keys, before: int) -> _Found | None:
    """An item of ``*args``."""
    if not keys or not isinstance(keys[0].name, int) or keys[0].name < 0:
        return None
    return _by_place(call, before + keys[0].name, keys[1:])


def _keywords(call: ast.Call, name: str, keys: Keys, *, sure: bool) -> Iterator[_Found]:
    for one in call.keywords:
        if one.arg == name:
            yield _Found(one.value, keys, sure, by_name=True)
            return
    for one in call.keywords:
        if one.arg is None:  # **more
            yield _Found(one.value, (Key(name), *keys), by_name=True)


def _default(point: Point, scope: Function | ast.Lambda, name: str) -> End | None:
    signature = scope.args
    places = [one.arg for one in [*signature.posonlyargs, *signature.args]]
    pairs = dict(zip(reversed(places), reversed(signature.defaults), strict=False))
    pairs |= {one.arg: node for one, node in zip(signature.kwonlyargs, signature.kw_defaults, strict=True) if node}
    if name not in pairs:
        return None
    step = point.frame.first_step
    link = Link(point.frame, pairs[name].lineno, step, name + shown(point.keys), None, "not passed", ran=step)
    return End(Kind.DEFAULT, f"{name} was not passed: its default was taken", link=link)


def _equal_argument(scene: Scene, at: Point, call: ast.Call, value: Value | None) -> Hop | None:
    """What the call was given that is the same value: code between the two frames is not recorded."""
    if value is None:
        return None
    keys, line = at.keys, call.lineno
    found = list(_equal(scene, at, texts.arguments(call), value, keys))
    if not found:
        return None
    exact = [one for one in found if one.keys[len(one.keys) - len(keys) :] == keys]
    best = (exact or found)[0]
    doubt = "" if len(exact or found) == 1 and (telling(value) or exact) else "several arguments have an equal value"
    return Move(at.to(best.node, best.keys), _link(scene, at, best, line), doubt)


def _equal(scene: Scene, at: Point, nodes: object, value: Value, keys: Keys) -> Iterator[_Found]:
    for node in nodes if isinstance(nodes, list | tuple) else []:
        whole = scene.evaluate(at, node)
        if whole is None:
            continue
        inner = part(whole, keys)
        if keys and inner is not None and inner is not ABSENT and same(inner, value):
            yield _Found(node, keys)
        elif same(whole, value):
            yield _Found(node, ())
        elif telling(value):
            yield from (_Found(node, way) for way in find(whole, value))


def _link(scene: Scene, at: Point, found: _Found, line: int, border: Border | None = None) -> Link:
    value = part_of(scene, at, found)
    shows = None if value is ABSENT else value
    return Link(at.frame, line, at.step, _name(found), shows, "passed on", border, at.step)


def _name(found: _Found) -> str:
    """``body["region"]``; of a display, only the part of it."""
    match found.node:
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return ast.unparse(found.node) + shown(found.keys)
        case ast.Dict() | ast.List() | ast.Tuple() if found.keys:
            return f"{found.keys[0].name!s}{shown(found.keys[1:])}"
        case ast.Call():
            return f"{texts.called(found.node)}(){shown(found.keys)}"
        case _:
            return text.shorten(ast.unparse(found.node), 40)


# -- a task or thread of its own


def _agrees(found: Value | None, value: Value) -> bool:
    return found is None or (found is not ABSENT and same(found, value) is not False)


def _from_task(scene: Scene, point: Point, value: Value | None, waiting: Frame, step: int) -> Hop | None:
    """The call, in the frame that waited for it, that made the task; else one that was given an equal value."""
    scope = scene.scope(waiting)
    if scope is None or value is None:
        return None
    border = Border("task", "a task or thread of its own")
    name = point.node.id if isinstance(point.node, ast.Name) else ""
    made: list[tuple[Point, _Found]] = []
    near: list[tuple[Point, _Found]] = []
    for call in sorted(texts.calls(scope), key=lambda one: one.lineno, reverse=True):
        if point.frame.code.name not in _mentioned(call):
            continue
        for at in _runs(scene, waiting, call, step):
            if texts.called(call) == point.frame.code.name and _all_agree(scene, point, at, call):
                passed = _arguments(scene, point, name, at, call)
                made += [(at, one) for one in passed if _agrees(part_of(scene, at, one), value)][:1]
            else:
                near += [(at, one) for one in _equal(scene, at, texts.arguments(call), value, point.keys)]
    for found, doubt in (
        (made, "several calls passed equal arguments"),
        (near, "several arguments have an equal value"),
    ):
        if found:
            at, one = found[0]
            link = _link(scene, at, one, at.node.lineno, border)
            return Move(at.to(one.node, one.keys), link, "" if len(found) == 1 else doubt)
    return None


def _mentioned(call: ast.Call) -> set[str]:
    names = {one.id for one in ast.walk(call) if isinstance(one, ast.Name)}
    return names | {one.attr for one in ast.walk(call) if isinstance(one, ast.Attribute)}


def _runs(scene: Scene, frame: Frame, call: ast.Call, step: int) -> Iterator[Point]:
    """A call each time that its statement ran before a step, the last first."""
    source = scene.text_of(frame)
    statement = source.statement(call) if source is not None else None
    if statement is None or isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    until = step + 1
    for _ in range(_MOST_RUNS):
        ran = scene.ran(frame, statement.lineno, until)
        if ran is None or ran >= until:
            return
        yield Point(frame, call, ran, until)
        until = ran


def _all_agree(scene: Scene, point: Point, at: Point, call: ast.Call) -> bool:
    """Whether a call may have passed everything that the frame was given."""
    frame = point.frame
    for name in frame.code.arguments:
        given = scene.binding(frame, name, frame.first_step)
        whole = point.to(ast.Name(name, ast.Load(), lineno=at.node.lineno, col_offset=0), ())
        found = next(_arguments(scene, whole, name, at, call), None) if given is not None else None
        if given is not None and found is not None and not _agrees(part_of(scene, at, found), given.value):
            return False
    return True


# -- another service


def _from_service(scene: Scene, point: Point, name: str, value: Value | None) -> Hop:
    entry = scene.flow.tree.entry(point.frame.span_id)
    span = scene.flow.tree.upstream(point.frame.span_id)
    shows = name + shown(point.keys)
    if span is None or span.kind not in EXITS:
        link = Link(point.frame, point.frame.code.first_line, point.frame.first_step, shows, value)
        return End(
            Kind.OUTSIDE, "it came so with the request", link=_at_def(scene, link), unknown="what the caller meant"
        )
    stack = list(sender(scene, span))
    if not stack or value is None:
        where = f"{span.service}, which sent it, recorded nothing of it"
        return End(Kind.LOST, where, unknown=f"what {span.service} sent")
    border = Border("queue" if span.kind is SpanKind.PRODUCER else "http", message(scene, span, entry))
    plain = tuple(Key(one.name) for one in point.keys)
    wanted = (plain, (Key(name), *plain), (IN_TEXT, *plain), *(plain[n:] for n in range(1, len(plain))))
    for exact in (True, False):
        for at, line in stack:
            found = list(_sent(scene, at, value, wanted, exact=exact))
            if found:
                doubts = {(ast.unparse(one.node), one.keys) for one in found}
                doubt = "" if exact else "an equal value under another name was sent"
                doubt = doubt if len(doubts) == 1 or exact else "several equal values were sent"
                best = found[0]
                return Move(at.to(best.node, best.keys), _link(scene, at, best, line, border), doubt)
    for at, line in stack if point.keys else []:
        cut = next(_sent(scene, at, value, wanted, exact=True, whole=False), None)
        if cut is not None:
            doubt = "what was sent under its name was not captured whole"
            return Move(at.to(cut.node, cut.keys), _link(scene, at, cut, line, border), doubt)
    return End(Kind.LOST, f"no such value in {span.service}", unknown=f"how {span.service} made {shows}")


def received(scene: Scene, point: Point, value: Value | None) -> Move | None:
    """What a part of the request read by itself of the message that began it (``request.get_json()["sku"]``): an equal
    value under the same name was sent."""
    frame = point.frame
    if value is None or not point.keys or scene.execution.caller_at(frame, frame.first_step) is not None:
        return None
    found = _from_service(scene, point, "", value)
    if not isinstance(found, Move) or found.doubt:
        return None
    return found if telling(value) else replace(found, doubt="an equal value was sent under this name")


def _at_def(scene: Scene, link: Link) -> Link:
    """At the ``def``, not at its decorator."""
    scope = scene.scope(link.frame)
    line = scope.lineno if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef) else link.line
    return Link(link.frame, line, link.step, link.name, link.value, "came with the request")


def sender(scene: Scene, span: Span) -> Iterator[tuple[Point, int]]:
    """The frames that were on the stack where a message was sent, innermost first, each with its line."""
    start = next(
        (s for s in scene.execution.steps if s.kind is StepKind.SPAN_START and s.span_id == span.span_id), None
    )
    if start is None:
        return
    entry = scene.entry(start)
    frame = scene.execution.frame(start)
    index = start.index
    while frame is None and index > max(start.index - _MOST_STEPS, 0):
        index -= 1
        step = scene.step(index)
        if step.process == start.process and step.activation and scene.entry(step) == entry:
            other = scene.execution.frame(step)
            frame = other if other is not None and other.last_step >= start.index else None
    seen: set[int] = set()
    at = start.index
    while frame is not None and frame.activation not in seen:
        seen.add(frame.activation)
        ran = scene.line_before(frame, at)
        if ran is not None:
            yield Point(frame, ast.Constant(None), ran, start.index), scene.execution.line_at(frame, at)
        caller = scene.flow.caller(frame, at)
        frame = caller.frame if caller is not None and (caller.border is None or caller.border.kind == "task") else None


def _sent(
    scene: Scene, at: Point, value: Value, wanted: tuple[Keys, ...], *, exact: bool, whole: bool = True
) -> Iterator[_Found]:
    """Expressions of the statement, then names of the frame, that hold the value: under its name, or anywhere.
    ``whole`` False: that may hold it, as far as both were captured."""
    line = scene.execution.line_at(at.frame, at.step)
    statement = scene.statement(at.frame, line)
    nodes = [one for call in (texts.calls(statement) if statement else []) for one in texts.arguments(call)]
    nodes += [
        ast.Name(name, ast.Load(), lineno=line, col_offset=0) for name in scene.execution.locals_at(at.frame, at.step)
    ]
    for node in nodes:
        if isinstance(node, ast.Constant):
            continue
        held = scene.evaluate(at, node)
        if held is None:
            continue
        if exact:
            for keys in wanted:
                inner = part(held, keys)
                named = bool(keys) or (isinstance(node, ast.Name) and (Key(node.id),) == wanted[1][-1:])
                alike = same(inner, value) if named and inner is not None and inner is not ABSENT else False
                if alike or (alike is None and not whole):
                    yield _Found(node, keys)
            if isinstance(node, ast.Name) and wanted[1][-1].name == node.id and same(held, value):
                yield _Found(node, ())
        elif telling(value) or (content(value).kind is ValueKind.MAPPING and same(held, value)):
            yield from (_Found(node, keys) for keys in find(held, value))


def message(scene: Scene, span: Span, entry: str) -> str:
    """What was sent, as ``POST /orders``."""
    server = scene.execution.spans.get(entry, span)
    for one in (server, span):
        method = one.attributes.get("http.request.method")
        path = one.attributes.get("url.path") or one.attributes.get("http.route") or one.attributes.get("url.full")
        if method and path:
            return f"{method!s} {path!s}"
    return server.name or span.name
