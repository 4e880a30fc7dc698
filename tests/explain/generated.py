"""Functions made by chance: a value goes its way through names, containers, objects and calls, beside its equals.

The true cause is known by construction: the one line that made the value which failed. Other values are equal to it and
go the same ways, so that a search that takes an equal value for the same one names a wrong line.
"""

from __future__ import annotations

import random
from collections.abc import Callable

HELPERS = """
class Box:
    def __init__(self, one=None, two=None):
        self.one = one
        self.two = two
    def swap(self):
        self.one, self.two = self.two, self.one
    def put(self, value):
        self.one = value
def first(one, two):
    return one
def second(one, two=None):
    kept = two
    return kept
def named(**all):
    return all["one"]
def rest(*all):
    return all[1]
def give(one, two):
    yield one
    yield two
def boxed(one, two):
    box = Box(one, two)
    return box
def fill(target, value):
    target.append(value)
def note(target, key, value):
    target[key] = value
""".lstrip("\n")

HANDLE = """
def handle(path, body):
    return globals()["case_" + body["case"]](body)
"""


class Case:
    """The lines of one function; ``cause`` is the index of the line to blame."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self.chance = chance
        self.lines = [f"def case_{number}(body):"]
        self.count = 0
        self.equals = [self.make() for _ in range(2)]
        self.cause = len(self.lines)
        self.value = self.make()
        for _ in range(chance.randint(1, 6)):
            if chance.random() < 0.3:
                self.equals.append(self.make())
            chance.choice(WAYS)(self)
        self.add(f"return 10 / {self.value}")

    def add(self, line: str) -> None:
        self.lines.append("    " + line)

    def new(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def make(self) -> str:
        name = self.new()
        self.add(f'{name} = body["n"] - 3')
        return name

    def other(self) -> str:
        return self.chance.choice(self.equals)

    def set(self, text: str) -> None:
        """A new name for the value."""
        name = self.new()
        self.add(f"{name} = {text.format(v=self.value, o=self.other())}")
        self.value = name


def _plain(text: str) -> Callable[[Case], None]:
    return lambda case: case.set(text)


def _held(made: str, *then: str, read: str) -> Callable[[Case], None]:
    """Into something, and out of it at once or where it fails."""

    def way(case: Case) -> None:
        name = case.new()
        for line in (f"{{n}} = {made}", *then):
            case.add(line.format(n=name, v=case.value, o=case.other()))
        case.value = read.format(n=name)
        if case.chance.random() < 0.6:
            case.set("{v}")

    return way


def _loop(case: Case) -> None:
    name, found = case.new(), case.new()
    case.add(f"for {name} in [{case.other()}, {case.value}]:")
    case.add(f"    {found} = {name}")
    case.value = found


def _swapped(case: Case) -> None:
    one, two = case.new(), case.new()
    case.add(f"{one}, {two} = {case.value}, {case.other()}")
    case.add(f"{one}, {two} = {two}, {one}")
    case.value = two


def _closed(case: Case) -> None:
    name, inner = case.new(), case.new()
    case.add(f"{name} = {case.value}")
    case.add(f"def {inner}(): return {name}")
    case.value = f"{inner}()"
    case.set("{v}")


WAYS: list[Callable[[Case], None]] = [
    _plain("{v}"),
    _plain("first({v}, {o})"),
    _plain("second({o}, {v})"),
    _plain("second({o}, two={v})"),
    _plain("named(two={o}, one={v})"),
    _plain("named(**{{'one': {v}, 'two': {o}}})"),
    _plain("rest({o}, {v}, {o})"),
    _plain("first(*[{v}, {o}])"),
    _plain("list(give({o}, {v}))[1]"),
    _plain("[one for one in [{o}, {v}]][1]"),
    _plain("{v} if body['yes'] else {o}"),
    _plain("boxed({v}, {o}).one"),
    _plain("(lambda one, two: two)({o}, {v})"),
    _plain("max({v}, {o})"),
    _plain("sorted([{v}, {o}])[0]"),
    _plain("{{'one': {o}}}.get('two', {v})"),
    _held("[{o}]", "{n}.append({v})", read="{n}[1]"),
    _held("[{o}]", "{n}.append({v})", "{n}.append({o})", read="{n}[1]"),
    _held("[{o}]", "{n}.insert(0, {v})", read="{n}[0]"),
    _held("[{o}, {o}]", "{n}[1] = {v}", read="{n}[1]"),
    _held("[{v}, {o}]", "{n}.reverse()", read="{n}[1]"),
    _held("[{v}, {o}]", read="{n}.pop(0)"),
    _held("[]", "fill({n}, {v})", "fill({n}, {o})", read="{n}[0]"),
    _held("[]", "fill({n}, {o})", "fill({n}, {v})", read="{n}[-1]"),
    _held("{{'a': {o}, 'b': {v}}}", read="{n}['b']"),
    _held("{{'a': {o}}}", "{n}['a'] = {v}", read="{n}['a']"),
    _held("{{'a': {o}}}", "note({n}, 'a', {v})", "note({n}, 'b', {o})", read="{n}['a']"),
    _held("{{'a': {o}}}", "{n}.update(a={v}, b={o})", read="{n}['a']"),
    _held("{{'a': {o}, **{{'a': {v}}}}}", read="{n}['a']"),
    _held("{{'a': {{'b': {v}, 'c': {o}}}}}", read="{n}['a']['b']"),
    _held("Box({v}, {o})", read="{n}.one"),
    _held("Box({o}, {v})", "{n}.swap()", read="{n}.one"),
    _held("Box({o}, {o})", "{n}.put({v})", read="{n}.one"),
    _held("Box()", "{n}.one = {o}", "{n}.one = {v}", read="{n}.one"),
    _held("Box()", "vars({n}).update(one={v}, two={o})", read="{n}.one"),
    _held("Box({o})", "setattr({n}, 'one', {v})", read="{n}.one"),
    _held("Box(Box({v}, {o}), {o})", read="{n}.one.one"),
    _loop,
    _swapped,
    _closed,
]


def program(seed: int, cases: int) -> tuple[str, list[int]]:
    """A service of so many functions, and the line (from 1) that is to blame in each."""
    chance = random.Random(seed)
    text, causes = HELPERS, []
    for number in range(cases):
        case = Case(chance, number)
        causes.append(text.count("\n") + case.cause + 1)
        text += "\n".join(case.lines) + "\n"
    return text + HANDLE, causes
