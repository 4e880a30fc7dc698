"""Variants of the shop: other names, values and lines; the same failures, and a ground truth that fits."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from aftertrace.cli.demo import variants
from aftertrace.cli.demo.processes import Shop
from aftertrace.cli.demo.sources import shop_sources

from .conftest import wait_for_text

WORDS = re.compile(r"[A-Za-z]+")


def texts(root: Path) -> dict[str, str]:
    """The files of a shop; what an install byte-compiled beside them is none of it."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(root)): path.read_text() for path in files}


def test_the_base_is_the_checked_in_shop_without_its_marks(tmp_path: Path) -> None:
    base = variants.make(shop_sources(), tmp_path)
    for path, text in texts(tmp_path).items():
        original = (shop_sources() / path).read_text()
        assert text == re.sub(r" *# decoy: .*\n", "", re.sub(r" *# fault: \d", "", original)), path
    assert sorted(base.truths) == [1, 2, 3, 4, 5, 6]
    assert base.truths[1].source == 'zone = ZONES.get(country, "")'
    assert (base.truths[1].path, base.truths[1].function, base.truths[1].value) == (
        "gateway/regions.py",
        "region_for",
        "",
    )


@pytest.mark.parametrize("seed", range(12))
def test_ground_truth_is_the_line_that_is_in_the_copy(tmp_path: Path, seed: int) -> None:
    base = variants.make(shop_sources(), tmp_path / "base")
    variant = variants.make(shop_sources(), tmp_path / "other", seed)
    assert sorted(variant.truths) == sorted(base.truths)
    for fault, truth in variant.truths.items():
        line = (variant.root / truth.path).read_text().split("\n")[truth.line - 1]
        assert line.strip() == truth.source
        assert truth.path.split("/")[0] == truth.service
        assert truth.path != base.truths[fault].path
        assert "fault:" not in (variant.root / truth.path).read_text()
        # The same statement under other names: what is left without names and numbers is equal.
        assert WORDS.sub("x", truth.source) == WORDS.sub("x", base.truths[fault].source)


def test_a_seed_is_reproducible_and_another_seed_is_another_shop(tmp_path: Path) -> None:
    first = variants.make(shop_sources(), tmp_path / "a", 7)
    again = variants.make(shop_sources(), tmp_path / "b", 7)
    other = variants.make(shop_sources(), tmp_path / "c", 8)
    assert texts(first.root) == texts(again.root)
    assert first.truths == again.truths
    assert set(texts(first.root)) != set(texts(other.root))
    assert first.truths[1].value == other.truths[1].value == ""
    assert first.truths[5].value != other.truths[5].value


def test_lines_are_shifted_and_one_decoy_is_real(tmp_path: Path) -> None:
    base = variants.make(shop_sources(), tmp_path / "base")
    moved = errors = 0
    for seed in range(8):
        variant = variants.make(shop_sources(), tmp_path / str(seed), seed)
        moved += sum(variant.truths[fault].line != base.truths[fault].line for fault in base.truths)
        calls = [text.count("log.error(") for path, text in texts(variant.root).items() if path.endswith(".py")]
        errors += sum(calls) == 1
    assert moved > 30
    assert errors == 8


def test_shifting_changes_no_statement(tmp_path: Path) -> None:
    vocabulary = {"comments": ["a remark"], "helpers": ["def {name}(x: int) -> int:\n    return x\n"]}
    import random

    for path in shop_sources().rglob("*.py"):
        text = path.read_text()
        shifted = ast.parse(variants.shift(text, random.Random(3), vocabulary))
        assert [ast.dump(node) for node in _own(shifted)] == [ast.dump(node) for node in _own(ast.parse(text))]


def _own(tree: ast.Module) -> list[ast.stmt]:
    """The module's statements without what the shift may add."""

    class Without(ast.NodeTransformer):
        def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
            return None if ast.unparse(node).startswith("revision_") else node

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
            return None if node.name.startswith("helper_") else self.generic_visit(node)

    cleaned = Without().visit(tree)
    assert isinstance(cleaned, ast.Module)
    return cleaned.body


def test_a_vocabulary_that_makes_two_names_one_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "shop"
    for path, text in texts(shop_sources()).items():
        if "__pycache__" not in path:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
    vocabulary = (source / "vocabulary.json").read_text()
    (source / "vocabulary.json").write_text(re.sub(r'\[\["gateway"\].*\],', '[["gateway"], ["config"]],', vocabulary))
    with pytest.raises(ValueError, match="in use: config"):
        variants.make(source, tmp_path / "copy", 1)


@pytest.mark.whole
@pytest.mark.parametrize("seed", [1, 2, 977])
def test_a_variant_runs_and_fails_in_the_same_ways(start_bare: Callable[[int | None], Shop], seed: int) -> None:
    shop = start_bare(seed)
    truths = shop.variant.truths
    assert shop.traffic("customers", "--count", "8", "--pause", "0") == {"customers": 8, "checkouts": {"200": 8}}
    assert shop.traffic("fault", "1")["status"] == 500
    assert f"KeyError: '{truths[1].shown}'" in wait_for_text(shop.by_role["back"].log, "KeyError")
    assert truths[1].shown.endswith("-")
    report = shop.traffic("fault", "2")
    assert (report["status"], report["paid"]) == (200, report["before"])
    assert shop.traffic("fault", "3")["total_cents"] > 0
    assert shop.traffic("fault", "4")["left"] < 0
    report = shop.traffic("fault", "5")
    assert f"{report['total_cents'] / 100:,.2f}" == truths[5].value
    assert "decimal.InvalidOperation" in wait_for_text(shop.by_role["queue"].log, "InvalidOperation")
    assert shop.kill_in_request()["status"] == 502
    ledger = (shop.data / shop.variant.manifest["stuck"]["progress"]).read_text()
    assert truths[6].value not in ledger
    assert ledger.count("\n") == 2
    assert "ERROR" in shop.by_role["middle"].log_text().split("Traceback")[0]  # the decoy, in healthy requests too
    with sqlite3.connect(shop.data / f"{shop.service('queue')['name']}.sqlite") as connection:
        table = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= 8
    connection.close()
