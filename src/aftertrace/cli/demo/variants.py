"""The shop's sources, as they are or under other names, with the ground truth of each fault.

The sources mark the faulty lines (``# fault: 1``). Every copy that runs is free of these marks, so nothing that
explains a failure can have read them. A seed gives a second shop: other names for files, functions, variables, fields,
routes and services, other countries, shelves and prices, other line numbers, and one unrelated ERROR log.
"""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
MARK = re.compile(r"\s*# fault: (\d+)\s*$")
DECOY = re.compile(r"^(\s*)# decoy: (.*)$")
COPIED = {".py", ".json", ".sql"}
NOT_COPIED = {"faults.json", "shop.json", "vocabulary.json"}
SHIFT_SHARE = 0.35  # of the places where a line can be put in


@dataclass(frozen=True, slots=True)
class Truth:
    """What is wrong, and where; ``name`` and ``value`` where the fault is a wrong value."""

    fault: int
    title: str
    service: str
    path: str  # inside the shop, like gateway/regions.py
    line: int
    function: str
    source: str
    name: str = ""
    value: Any = None
    raised_in: str = ""
    exception: str = ""
    shown: str = ""  # what the exception's message shows
    request: str = ""  # in which it shows, like POST /checkout
    trigger: str = ""  # that keeps this request

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Variant:
    """A copy that runs, and what is wrong with it."""

    root: Path
    seed: int | None
    manifest: dict[str, Any]
    truths: dict[int, Truth]


@dataclass(slots=True)
class Renaming:
    """Words and values that are replaced; nothing is, in the base variant."""

    words: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def apply(self, text: str) -> str:
        """``text`` with values replaced where they stand alone, and words wherever a name is made of them."""
        if self.values:
            longest_first = sorted(self.values, key=len, reverse=True)
            choices = "|".join(re.escape(value) for value in longest_first)
            text = re.sub(rf"(?<![A-Za-z0-9])(?:{choices})(?![A-Za-z0-9])", lambda hit: self.values[hit[0]], text)
        return WORD.sub(lambda hit: self._word(hit[0]), text) if self.words else text

    def _word(self, word: str) -> str:
        new = self.words.get(word.lower())
        if new is None:
            return word
        if word.isupper() and len(word) > 1:
            return new.upper()
        return new.capitalize() if word[0].isupper() else new


def make(shop: Path, target: Path, seed: int | None = None) -> Variant:
    """Copies the shop into the new directory ``target``. The same seed gives the same copy; None gives the base.

    Raises ValueError if the vocabulary would make two names one.
    """
    chance = random.Random(seed)  # noqa: S311 (reproducible on purpose)
    vocabulary = json.loads((shop / "vocabulary.json").read_text())
    texts = {path: (shop / path).read_text() for path in _sources(shop)}
    declared, manifest = (shop / "faults.json").read_text(), (shop / "shop.json").read_text()
    renaming = Renaming() if seed is None else choose(vocabulary, chance)
    _check(renaming, [*texts.values(), declared, manifest])
    decoy = None if seed is None else chance.choice(_decoys(texts))
    marks: dict[int, tuple[str, list[str], int]] = {}
    for path, text in texts.items():
        new_path = renaming.apply(path)
        new_text = renaming.apply(_without_decoys(text, decoy[1] if decoy and decoy[0] == path else None))
        if seed is not None and "/" in path and path.endswith(".py"):
            new_text = shift(new_text, chance, vocabulary)
        lines, found = _strip(new_text)
        marks |= {fault: (new_path, lines, line) for fault, line in found.items()}
        (target / new_path).parent.mkdir(parents=True, exist_ok=True)
        (target / new_path).write_text("\n".join(lines) + "\n")
    truths = {
        int(n): _truth(int(n), entry, *marks[int(n)]) for n, entry in json.loads(renaming.apply(declared)).items()
    }
    return Variant(target, seed, json.loads(renaming.apply(manifest)), truths)


def choose(vocabulary: dict[str, Any], chance: random.Random) -> Renaming:
    """A new name for each word, and new values."""
    words: dict[str, str] = {}
    for forms, *choices in vocabulary["words"]:
        words |= dict(zip(forms, chance.choice(choices), strict=True))
    countries, coupon, price = vocabulary["countries"], vocabulary["coupon"], vocabulary["price"]
    values = dict(zip(countries["used"], chance.sample(countries["pool"], len(countries["used"])), strict=True))
    values |= _other_codes(vocabulary["shelves"], chance, digits=1, most=5)
    values |= _other_codes(vocabulary["skus"], chance, digits=2, most=9)
    percent = chance.randrange(11, 30)
    values |= {coupon["code"]: f"{chance.choice(coupon['pool'])}{percent}", coupon["percent"]: f"{percent} %"}
    cents = chance.randrange(1_000_00, 9_000_00)
    values |= {price["cents"]: str(cents), price["text"]: f"{cents / 100:,.2f}"}
    return Renaming(words, values)


def _other_codes(group: dict[str, Any], chance: random.Random, *, digits: int, most: int) -> dict[str, str]:
    """Another letter for each letter, and the numbers moved: codes of one letter keep their order."""
    letters = sorted({code[0] for code in group["used"]})
    other = dict(zip(letters, chance.sample(list(group["pool"]), len(letters)), strict=True))
    moved = chance.randrange(1, most + 1)
    new = {}
    for code in group["used"]:
        middle, number = code[1:-digits], int(code[-digits:])
        new[code] = f"{other[code[0]]}{middle}{number + moved:0{digits}}"
    return new


def shift(text: str, chance: random.Random, vocabulary: dict[str, Any]) -> str:
    """The same program with comments, blank lines, helpers and harmless assignments between its statements."""
    lines = text.split("\n")
    places = sorted(_places(ast.parse(text), lines), reverse=True)
    taken = {name for hit in WORD.finditer(text) for name in (hit[0],)}
    for count, (line, indent, kind) in enumerate(places):
        if chance.random() > SHIFT_SHARE:
            continue
        choices = [f"{indent}# {chance.choice(vocabulary['comments'])}", ""]
        if kind == "function":
            choices.append(f"{indent}revision_{count} = {chance.randrange(2, 90)}")
        elif kind == "definition":
            choices.append(chance.choice(vocabulary["helpers"]).format(name=f"helper_{count}") + "\n")
        lines[line - 1 : line - 1] = [chance.choice(choices)]
    if "revision" in taken or "helper" in taken:
        raise ValueError("the shop uses a name that the line shift makes")
    shifted = "\n".join(lines)
    ast.parse(shifted)
    return shifted


def _places(tree: ast.Module, lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """(line, indentation, kind) of each statement that begins a line: something can be put before it."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if not isinstance(block, list):
                continue
            for position, statement in enumerate(block):
                line = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
                indent = lines[line - 1][: statement.col_offset]
                if not indent.strip():
                    yield line, indent, _kind(node, statement, position)


def _kind(node: ast.AST, statement: ast.stmt, position: int) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and position > 0:
        return "function"
    if isinstance(node, ast.Module) and isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return "definition"
    return "other"


def _sources(shop: Path) -> list[str]:
    found = (path.relative_to(shop) for path in shop.rglob("*") if path.suffix in COPIED)
    return sorted(str(path) for path in found if "__pycache__" not in path.parts and path.name not in NOT_COPIED)


def _decoys(texts: dict[str, str]) -> list[tuple[str, int]]:
    """(path, position among the file's decoys) of every unrelated log line that could be made real."""
    return [
        (path, position)
        for path, text in texts.items()
        for position, _ in enumerate(line for line in text.split("\n") if DECOY.match(line))
    ]


def _without_decoys(text: str, chosen: int | None) -> str:
    kept: list[str] = []
    seen = 0
    for line in text.split("\n"):
        decoy = DECOY.match(line)
        if decoy is None:
            kept.append(line)
            continue
        if seen == chosen:
            kept.append(decoy[1] + decoy[2])
        seen += 1
    return "\n".join(kept)


def _strip(text: str) -> tuple[list[str], dict[int, int]]:
    """The lines without their marks, and the line of each fault."""
    lines = text.rstrip("\n").split("\n")
    found = {int(mark[1]): number for number, line in enumerate(lines, 1) if (mark := MARK.search(line))}
    return [MARK.sub("", line) for line in lines], found


def _truth(fault: int, entry: dict[str, Any], path: str, lines: list[str], line: int) -> Truth:
    functions = [
        node
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return Truth(fault, path=path, line=line, function=functions[-1].name, source=lines[line - 1].strip(), **entry)


def _check(renaming: Renaming, texts: list[str]) -> None:
    """Raises ValueError if a new name is in use already, or cannot be a name."""
    if not renaming.words:
        return
    used = {hit[0].lower() for text in texts for hit in WORD.finditer(text)}
    new = list(renaming.words.values())
    bad = [
        word
        for word in new
        if word in used or new.count(word) > 1 or keyword.iskeyword(word) or hasattr(builtins, word)
    ]
    if bad:
        raise ValueError(f"the vocabulary gives names that are in use: {', '.join(sorted(set(bad)))}")
