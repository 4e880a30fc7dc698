"""The copies that run say nothing of what is wrong with them; the truth is that of the marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from planted import HERE, names, plant

README = (HERE / "README.md").read_text()


@pytest.mark.parametrize("name", names())
def test_the_truth_is_the_marked_line_and_is_in_no_copy(tmp_path: Path, name: str) -> None:
    bug = plant(name, tmp_path / "copy")
    truth, root = bug.truth, bug.variant.root
    marked = [
        (str(path.relative_to(HERE / name)), number)
        for path in (HERE / name).rglob("*.py")
        for number, line in enumerate(path.read_text().split("\n"), 1)
        if line.endswith("# bug")
    ]
    assert marked == [(truth.path, truth.line)]
    original = (HERE / name / truth.path).read_text()
    assert (root / truth.path).read_text() == re.sub(r" *# bug", "", original)
    assert (root / truth.path).read_text().split("\n")[truth.line - 1].strip() == truth.source
    assert truth.path.split("/")[0] == truth.service
    assert truth.service in {one["name"] for one in bug.variant.manifest["services"]}
    assert truth.function
    assert bug.kind in {"exception", "wrong", "slow"}
    assert ("slower_than_ms" in bug.seen) == (bug.kind == "slow")
    copied = [path for path in root.rglob("*") if path.is_file()]
    assert not [path for path in copied if path.name in {"truth.json", "README.md", "planted.py"}]
    assert not [path for path in copied if "# bug" in path.read_text() or truth.title in path.read_text()]


@pytest.mark.parametrize("name", names())
def test_the_readme_names_each_marked_line(tmp_path: Path, name: str) -> None:
    truth = plant(name, tmp_path / "copy").truth
    row = next(line for line in README.split("\n") if line.startswith(f"| `{name}` |"))
    assert f"`{truth.path}:{truth.line}` `{truth.source}`" in row


def test_a_program_without_one_mark_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant("timezone", tmp_path / "source" / "timezone")
    (tmp_path / "source" / "timezone" / "truth.json").write_text((HERE / "timezone" / "truth.json").read_text())
    (tmp_path / "source" / "driver.py").write_text("")
    monkeypatch.setattr("planted.HERE", tmp_path / "source")
    with pytest.raises(ValueError, match="timezone: 0 lines are marked"):
        plant("timezone", tmp_path / "copy")
