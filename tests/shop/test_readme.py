"""What the README says of the faults is what the sources mark."""

from __future__ import annotations

from pathlib import Path

from aftertrace.cli.demo import variants
from aftertrace.cli.demo.sources import shop_sources


def test_the_readme_names_each_marked_line(tmp_path: Path) -> None:
    readme = (shop_sources() / "README.md").read_text()
    for fault, truth in variants.make(shop_sources(), tmp_path).truths.items():
        original = (shop_sources() / truth.path).read_text().split("\n")
        line = next(number for number, text in enumerate(original, 1) if text.endswith(f"# fault: {fault}"))
        assert f"| {fault} | `{truth.path}:{line}` `{truth.source}` |" in readme
