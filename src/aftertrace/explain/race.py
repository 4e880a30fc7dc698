"""Two requests at one row, key or object: what one had read was no longer so when it wrote, for the other wrote in
between.

Check-then-act (a test on what was read let it write) and lost update (what it wrote was computed from what it had
read). That a write lay between follows from one host's clock, or from the values: what the row was worth afterwards
can come about in no other order. Nothing can have been held meanwhile: it would have kept the other out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aftertrace.explain import texts
from aftertrace.explain.access import Access, Row, is_number
from aftertrace.explain.company import Company
from aftertrace.explain.deciding import Decision, Test, decision
from aftertrace.explain.finding import Finding
from aftertrace.explain.hops import Link
from aftertrace.explain.interleaving import accesses
from aftertrace.explain.origin import Tracer
from aftertrace.explain.scene import Point, Scene
from aftertrace.model import Scalar
from aftertrace.reconstruct.execution import Step, StepKind

_MOST_PAIRS = 40  # reads and writes of one row, of one request
_CLOCK, _VALUES = "one host clock", "the values allow no other"


def find(scene: Scene, tracer: Tracer, company: Company) -> Finding | None:  # noqa: ARG001 (what a Finder is given)
    """None: no request that is known lay between a read and the write that rests on it."""
    asked = _asked_for(scene)
    own = [one for one in decisions(scene) if asked or not one.read.label]
    if not own:
        return None
    others = [(one, accesses(one)) for one in company.neighbours()]
    races = [one for pair in own if (one := _raced(pair, others)) is not None]
    if races:
        best = min(races, key=lambda one: len(one.doubts))
        return _Telling(best, scene, company).finding(best.victim)
    if not asked:
        return None
    for other, _ in others:  # it was the first: another one's decision rested on what it changed
        for pair in decisions(other):
            race = _raced(pair, [(scene, accesses(scene))])
            mine = [one for one in own if race is not None and one.write in race.between]
            if race is not None and mine:
                return _Telling(race, scene, company).finding(mine[0])
    return None


def _asked_for(scene: Scene) -> bool:
    """Whether the program itself said that something is wrong, or nothing is said but whom it overlapped. Keys and
    objects are often changed by several on purpose: of a request that was kept for another reason they say nothing."""
    return all(one.trigger == "keep" for one in scene.execution.keeps if one.role == "failure")


def decisions(scene: Scene) -> list[Decision]:
    """Writes of a request that rest on what it read of the same row before."""
    found = list[Decision]()
    known = accesses(scene)
    for at, write in enumerate(known):
        if len(found) >= _MOST_PAIRS:
            break
        for change in write.statement.changes:
            for read in reversed(known[:at]):
                row = read.row()
                if read.writes or row is None or not write.touches(row) or write.guarded(row):
                    continue
                seen = read.seen(change.column)
                told = seen is not None and (not read.label or is_number(seen))
                pair = decision(read, write, change.column, seen) if told else None
                if pair is not None:
                    pair.known = known
                    found.append(pair)
                break
    return found


def after(pair: Decision) -> Access | None:
    """The request's next look at what it wrote, before it writes there again."""
    return _look(pair.known, pair.write, pair)


def _look(known: list[Access], write: Access, pair: Decision) -> Access | None:
    row = pair.read.row()
    for one in known:
        if one.step.index > write.ended and row is not None and one.touches(row):
            return one if not one.writes and one.seen(pair.column) is not None else None
    return None


@dataclass(slots=True)
class _Race:
    victim: Decision
    between: list[Access]  # writes of other requests, in order
    order: str  # why the order is certain, "" it is not
    now: Scalar  # what the row was worth when the victim wrote, None: not known
    test: Test | None  # the one that would have come out otherwise
    doubts: list[str] = field(default_factory=list)


def _raced(pair: Decision, others: Sequence[tuple[Scene, list[Access]]]) -> _Race | None:
    row = pair.read.row()
    if row is None:
        return None
    between = [write for other, known in others for write in known if _lies_between(pair, write, row, other)]
    if not between:
        return None
    between.sort(key=lambda one: one.end_ns)
    now = _left(pair, between, row)
    later = [write for _, known in others for write in known if _after(pair, write, row)]
    proven = _values(pair, now) if not later else None
    if proven is False:
        return None
    if proven is None and not later:
        known = next(known for other, known in others if other is between[-1].scene)
        last, exact = _look(known, between[-1], pair), _before(pair)
        if last is not None and exact is not None and last.seen(pair.column) == exact != pair.seen:
            now, proven = exact, True  # it wrote upon the very value that the other had left, whoever wrote before
    clock = all(_certain(pair, write) for write in between)
    if pair.read.label and not clock:
        return None  # a lock that kept the other out leaves no stamp of its own
    race = _Race(pair, between, _order(clock=clock, proven=proven is True), now, None)
    if not race.order:
        race.doubts.append("that the other wrote in between is what their times say, and these overlap")
    if proven is None and any(write.process.service != pair.read.process.service for write in between):
        race.doubts.append("that both mean the same database is not recorded")
    if not proven and not all(map(_committed, between)):
        race.doubts.append("that the other's change was committed is not recorded")
    if now is None:
        race.doubts.append("what the other made of it is not recorded")
    elif now == pair.seen:
        return None  # what was read still held
    return _judged(race)


def _left(pair: Decision, between: Sequence[Access], row: Row) -> Scalar:
    """What the others made of what was read; None: not known."""
    now: Scalar = pair.seen
    for write in between:
        now = write.applied(pair.column, now) if not write.guarded(row) else None
    return now


def _judged(race: _Race) -> _Race | None:
    """None: the decision would have been the same."""
    pair = race.victim
    if pair.computed:
        return race
    outcomes = [(test, pair.outcome(test), pair.outcome(test, race.now)) for test in pair.tests]
    other = [test for test, was, would in outcomes if was is not None and would is not None and was != would]
    if other and race.now is not None:
        race.test = other[0]
        return race
    if pair.read.label or (
        race.now is not None and all(was is not None and was == would for _, was, would in outcomes)
    ):
        return None
    race.test = pair.tests[0]
    race.doubts.append("whether it would have decided otherwise cannot be said from what was recorded")
    return race


def _lies_between(pair: Decision, write: Access, row: Row, other: Scene) -> bool:
    """A row that two write is locked from the first write to its commit: who ended later came later."""
    if other is pair.scene or not write.writes or not write.touches(row) or not _one_clock(pair.read, write):
        return False
    if write.statement.verb == "UPDATE" and write.change(pair.column) is None:
        return False
    return write.end_ns > pair.read.start_ns and write.end_ns <= pair.write.end_ns


def _certain(pair: Decision, write: Access) -> bool:
    return pair.read.end_ns <= write.start_ns and write.end_ns <= pair.write.start_ns


def _after(pair: Decision, write: Access, row: Row) -> bool:
    """Whether another write may lie between this one and the look at what came of it."""
    look = after(pair)
    inside = look is not None and pair.write.end_ns < write.end_ns and write.start_ns < look.end_ns
    return inside and look is not None and look.start_ns > write.end_ns and write.writes and write.touches(row)


def _committed(write: Access) -> bool:
    """Whether a line that commits ran after a write, and nothing was raised: else it may have been rolled back."""
    if write.label:
        return True
    scene = write.scene
    committed = _in_connection(write)
    for step in scene.execution.steps[write.ended :]:
        if step.process != write.frame.process or step.kind not in {StepKind.LINE, StepKind.RAISE}:
            continue
        if step.kind is StepKind.RAISE and not committed:
            return False
        frame = scene.execution.frame(step)
        statement = scene.statement(frame, step.line) if frame is not None and step.kind is StepKind.LINE else None
        if isinstance(statement, ast.Expr):
            names = {texts.called(one) for one in texts.calls(statement)}
            if "rollback" in names and not committed:
                return False
            committed = committed or "commit" in names
    return committed


def _in_connection(write: Access) -> bool:
    """Within ``with connection:``, which commits."""
    scene, frame = write.scene, write.frame
    text, statement = scene.text_of(frame), scene.statement(frame, write.step.line)
    for above in text.above(statement) if text is not None and statement is not None else ():
        for item in above.items if isinstance(above, ast.With) else ():
            held = scene.evaluate(
                Point(frame, item.context_expr, write.step.index, write.step.index), item.context_expr
            )
            if held is not None and held.type.rpartition(".")[2] == "Connection":
                return True
    return False


def _one_clock(one: Access, other: Access) -> bool:
    if one.process.uid == other.process.uid:
        return True
    hosts = [access.process.resource.attributes.get("host.name") for access in (one, other)]
    return bool(hosts[0]) and hosts[0] == hosts[1]


def _values(pair: Decision, now: Scalar) -> bool | None:
    """Whether what the row was worth afterwards needs the writes in between (True), or excludes them (False)."""
    look = after(pair)
    alone = pair.write.applied(pair.column, pair.seen)
    then = pair.write.applied(pair.column, now)
    if look is None or alone is None or then is None or alone == then:
        return None
    found = look.seen(pair.column)
    return True if found == then else False if found == alone else None


def _before(pair: Decision) -> Scalar:
    """What the row was worth when it was written, by what it was worth after; None: not known."""
    look, change = after(pair), pair.write.change(pair.column)
    found = look.seen(pair.column) if look is not None else None
    worth = pair.write.worth(change.term) if change is not None and change.term is not None and change.sign else None
    if change is None or not isinstance(found, int | float) or not isinstance(worth, int | float):
        return None
    return found + worth if change.sign == "-" else found - worth


def _order(*, clock: bool, proven: bool) -> str:
    return ", and ".join([*([_CLOCK] if clock else []), *([_VALUES] if proven else [])])


# -- told


class _Telling:
    """A race as a finding, for the request that was asked about: the one that was overtaken, or the other."""

    def __init__(self, race: _Race, scene: Scene, company: Company) -> None:
        self.race, self.scene, self.company = race, scene, company
        self.victim = race.victim
        self.first = race.between[-1].scene  # whose write came last before the victim's
        if scene is not self.victim.scene:
            self.first = scene

    def finding(self, own: Decision) -> Finding:
        doubts = list(self.race.doubts)
        if own is not self.victim and _place(own) != _place(self.victim):
            path, line = _place(self.victim)
            doubts.append(f"the other request read at {path.rpartition('/')[2]}:{line}")
        values = [(own.name, own.value)] if own.name and own.value is not None else []
        found = Finding("race", "likely" if doubts else "verified", self._says(own), list(self._links(own)), values)
        found.doubts = doubts
        found.details = self._details(own)
        found.next = [f"diff {self.scene.execution.trace_id[:8]} {self._other().execution.trace_id[:8]}"]
        found.ruled_out = list(self._siblings())
        found.unknown = ["how often before: only overlapping requests that were kept are known"]
        return found

    def _other(self) -> Scene:
        return self.first if self.scene is self.victim.scene else self.victim.scene

    def _says(self, own: Decision) -> str:
        what = "lost update" if self.victim.computed else "check-then-act"
        who = "the other wrote in between" if own is self.victim else "the other had read before, and wrote after"
        held = ", nothing held between" if self.race.order else ""
        return f"{what}: :{own.line} reads, :{own.wrote} writes, {who}{held}"

    def _links(self, own: Decision) -> Iterator[Link]:
        yield Link(own.frame, own.line, own.until, own.name, own.value, ran=own.ran)
        test = self.race.test if own is self.victim else (own.tests[0] if own.tests else None)
        if test is not None and test.step > own.ran:
            yield Link(own.frame, test.line, test.step, "", None, "decided on it", ran=test.step)
        wrote = own.scene.step(own.write.ended)
        yield Link(own.write.frame, own.write.step.line, wrote.index, "", None, "wrote", ran=own.wrote_at)
        kept = self._kept(own)
        if kept is not None:
            yield kept

    def _kept(self, own: Decision) -> Link | None:
        execution = own.scene.execution
        for step in execution.steps[own.write.ended :]:
            frame = execution.frame(step)
            if step.kind is StepKind.KEEP and frame is not None:
                return Link(frame, step.line, step.index, "", None, f"kept: {step.text}", ran=step.index)
        return None

    def _siblings(self) -> Iterator[str]:
        alone = known = 0
        for one in self.company.siblings():
            for pair in decisions(one):
                look, then = after(pair), pair.write.applied(pair.column, pair.seen)
                if look is None or then is None or _place(pair) != _place(self.victim):
                    continue
                known += 1
                alone += look.seen(pair.column) == then
        if known:
            yield f"{alone} of {known} times in healthy siblings no other request wrote in between"

    def _details(self, own: Decision) -> dict[str, Any]:
        mine, other = own.scene, self._other()
        row = self.victim.read.row()
        key = ", ".join(f"{value!s}" for _, value in sorted(row[1])) if row is not None else ""
        events = sorted([*_events(mine, 0, self.victim), *_events(other, 1, self.victim)], key=lambda one: one["ns"])
        began = events[0]["ns"]
        for one in events:
            one["ms"] = round((one.pop("ns") - began) / 1e6, 3)
        return {
            "requests": [_request(mine, self.victim), _request(other, self.victim)],
            "events": events,
            "order": self.race.order,
            "key": self.victim.read.label or f"{self.victim.read.statement.table}[{key}]",
            "wrong": self._wrong(own),
            "between": len({id(one.scene) for one in self.race.between}),
        }

    def _wrong(self, own: Decision) -> str:
        """What the row was worth in the end, and what the program said of it."""
        kept = self._kept(own)
        look = after(self.victim)
        what = "it" if self.victim.read.label else self.victim.column
        words = [f"{what} is {look.seen(self.victim.column)!r} after the write"] if look is not None else []
        words += [f"{kept.says.removeprefix('kept: ')!r} at :{kept.line}"] if kept is not None else []
        return ", ".join(words)


def _place(pair: Decision) -> tuple[str, int]:
    return pair.frame.code.path, pair.line


def _request(scene: Scene, victim: Decision) -> dict[str, Any]:
    row = victim.read.row()
    process = next((one.process for one in accesses(scene) if row is not None and one.touches(row)), None)
    service, pid = (process.service, process.pid) if process is not None else ("", 0)
    return {"trace_id": scene.execution.trace_id, "service": service, "pid": pid}


def _events(scene: Scene, request: int, victim: Decision) -> Iterator[dict[str, Any]]:
    """Statements on the row and tests of what was read, each when it was done."""
    row = victim.read.row()
    for one in accesses(scene):
        if row is None or not one.touches(row):
            continue
        said = f"{one.statement.verb} {one.statement.table}" if not one.label else _plainly(one)
        seen = one.seen(victim.column) if not one.writes else None
        said += f" -> {seen!r}" if seen is not None else ""
        ns = one.end_ns if one.node is None else one.step.time_ns - one.process.skew_ns
        yield _event(request, ns, one.step, one.frame.code.path, said)
    for pair in decisions(scene):
        for test in pair.tests:
            came = pair.outcome(test)
            if pair.read.row() == row and came is not None and pair.name:
                step, said = scene.step(test.step), f"{scene.source_line(pair.frame, test.line).rstrip(':')} -> {came}"
                raw = step.time_ns - scene.execution.processes[step.process].skew_ns
                yield _event(request, raw, step, pair.frame.code.path, said)


def _plainly(one: Access) -> str:
    """``reads self.left``, ``redis[stock:7] = 4``, ``self.left -= 1``."""
    if not one.writes:
        return f"reads {one.label}"
    (change,) = one.statement.changes
    worth = one.worth(change.term) if change.term is not None else None
    return f"{one.label} {change.sign}= {worth!r}" if worth is not None else f"writes {one.label}"


def _event(request: int, ns: int, step: Step, path: str, text: str) -> dict[str, Any]:
    return {"request": request, "ns": ns, "line": step.line, "path": path, "text": text, "address": step.address}
