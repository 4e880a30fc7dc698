"""Programs at random: all kinds of statements that change local variables, nested, left by jumps and exceptions."""

from __future__ import annotations

import random

NAMES = ("a", "b", "c", "d", "e")
ERRORS = ("ValueError", "KeyError", "ZeroDivisionError")


class Writer:
    """One function after another, from a seed. All end: loops are short, calls go to earlier functions."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lines: list[str] = []
        self.functions: list[str] = []

    def program(self, functions: int) -> str:
        self.lines = [
            "import contextlib",
            "class Quiet(contextlib.AbstractContextManager):",
            "    def __exit__(self, kind, error, trace):",
            "        return kind is KeyError",
            "    def __repr__(self):",
            "        return 'quiet'",
            "def check(n):",
            "    if n % 5 == 3:",
            "        raise ValueError(n)",
            "    if n % 7 == 4:",
            "        raise KeyError(n)",
            "    return 10 // (n % 3)",
        ]
        for number in range(functions):
            self._function(f"f{number}", "    ")
        self.lines += [
            "for n in range(6):",
            f"    for f in ({', '.join(self.functions)},):",
            "        try:",
            "            r = f(n)",
            "            if hasattr(r, 'send'):",
            "                r = list(r)",
            "        except Exception as error:",
            "            r = type(error).__name__",
            "        print(r)",
        ]
        return "\n".join(self.lines) + "\n"

    def _function(self, name: str, indent: str) -> None:
        generator = self.chance.random() < 0.25
        self.lines.append(f"def {name}({', '.join(('n', 'a=1', 'b=2')[: self.chance.randint(1, 3)])}):")
        self._block(indent, 4, loop=False, generator=generator, closure=False)
        if generator:
            self.lines.append(f"{indent}yield n")
        self.lines.append(f"{indent}return {self._value()}")
        self.functions.append(name)

    def _value(self) -> str:
        pick = self.chance.choice
        return pick(
            [
                "n",
                str(self.chance.randint(0, 9)),
                f"locals().get({pick(NAMES)!r}, n)",
                f"[x for x in range(n) if x != {self.chance.randint(0, 3)}]",
                "{k: n for k in 'xy'}",
                f"(n, {self.chance.randint(0, 9)})",
                "sum(x * x for x in range(n))",
                f"check(n + {self.chance.randint(0, 5)})",
                *[f"type({name}(n)).__name__" for name in self.functions[-3:]],
            ]
        )

    def _block(self, indent: str, depth: int, *, loop: bool, generator: bool, closure: bool) -> None:
        for _ in range(self.chance.randint(1, 3)):
            self._statement(indent, depth, loop=loop, generator=generator, closure=closure)

    def _statement(self, indent: str, depth: int, *, loop: bool, generator: bool, closure: bool) -> None:
        say, pick = self.lines.append, self.chance.choice
        inside = {"loop": loop, "generator": generator, "closure": closure}
        kinds = ["assign", "assign", "unpack", "add", "delete", "walrus", "check"]
        kinds += ["if", "for", "while", "try", "finally", "with", "match"] if depth else []
        kinds += ["break", "continue"] if loop else []
        kinds += ["yield"] if generator else []
        kinds += ["closure"] if depth and not closure else []
        kinds += ["return"] if depth < 3 and self.chance.random() < 0.3 else []
        match pick(kinds):
            case "assign":
                say(f"{indent}{pick(NAMES)} = {self._value()}")
            case "unpack":
                first, second, third = self.chance.sample(NAMES, 3)
                say(f"{indent}{first}, (*{second}, {third}) = n, [1, {self._value()}, n]")
            case "add":
                say(f"{indent}{pick(NAMES)} = {pick(NAMES)} = n + {self.chance.randint(0, 3)}; n += 0")
            case "delete":
                name = pick(NAMES)
                say(f"{indent}{name} = n")
                say(f"{indent}del {name}")
            case "walrus":
                say(f"{indent}if ({pick(NAMES)} := n - {self.chance.randint(0, 3)}) > 1: {pick(NAMES)} = n")
            case "check":
                say(f"{indent}check(n)")
            case "if":
                say(f"{indent}if n % {self.chance.randint(2, 4)}:")
                self._block(indent + "    ", depth - 1, **inside)
                say(f"{indent}else:")
                self._block(indent + "    ", depth - 1, **inside)
            case "for":
                say(f"{indent}for {pick(NAMES)} in range({self.chance.randint(0, 3)}):")
                self._block(indent + "    ", depth - 1, **{**inside, "loop": True})
                if self.chance.random() < 0.3:
                    say(f"{indent}else:")
                    self._block(indent + "    ", depth - 1, **inside)
            case "while":
                counter = f"w{len(self.lines)}"
                say(f"{indent}{counter} = 0")
                say(f"{indent}while ({counter} := {counter} + 1) < {self.chance.randint(1, 4)}:")
                self._block(indent + "    ", depth - 1, **{**inside, "loop": True})
            case "try":
                say(f"{indent}try:")
                self._block(indent + "    ", depth - 1, **inside)
                for error in self.chance.sample(ERRORS, self.chance.randint(1, 2)):
                    say(f"{indent}except {error} as {pick(('error', 'e', 'x'))}:")
                    self._block(indent + "    ", depth - 1, **inside)
                    if self.chance.random() < 0.2:
                        say(f"{indent}    raise")
            case "finally":
                say(f"{indent}try:")
                self._block(indent + "    ", depth - 1, **inside)
                say(f"{indent}finally:")
                self._block(indent + "    ", depth - 1, loop=False, generator=generator, closure=closure)
            case "with":
                say(f"{indent}with Quiet() as {pick(NAMES)}:")
                self._block(indent + "    ", depth - 1, **inside)
            case "match":
                say(f"{indent}match (n, n % 2):")
                say(f"{indent}    case ({pick(NAMES)}, 1):")
                self._block(indent + "        ", depth - 1, **inside)
                say(f"{indent}    case _:")
                self._block(indent + "        ", depth - 1, **inside)
            case "yield":
                say(f"{indent}{pick(NAMES)} = yield {self._value()}")
            case "closure":
                self._closure(indent)
            case "return":
                say(f"{indent}return {self._value()}")
            case jump:
                say(f"{indent}{jump}")

    def _closure(self, indent: str) -> None:
        shared, number = f"s{len(self.lines)}", len(self.lines)
        self.lines += [
            f"{indent}{shared} = n",
            f"{indent}def inner{number}(by):",
            f"{indent}    nonlocal {shared}",
            f"{indent}    {shared} += by",
            f"{indent}    return {shared}",
            f"{indent}def show{number}():",
            f"{indent}    before = {shared}",
            f"{indent}    inner{number}(2)",
            f"{indent}    return before, {shared}",
            f"{indent}{self.chance.choice(NAMES)} = inner{number}(1)",
            f"{indent}{self.chance.choice(NAMES)} = show{number}()",
        ]
        if self.chance.random() < 0.5:
            self.lines.append(f"{indent}{shared} = check(n)")


def program(seed: int, functions: int = 12) -> str:
    return Writer(seed).program(functions)
