"""The paper: a text file."""

from pathlib import Path

WIDTH = 24


def put(path: Path, lines: list[str]) -> None:
    with path.open("a", encoding="utf-8") as paper:
        paper.writelines(f"|{line:<{WIDTH}}|\n" for line in lines)
        paper.write("-" * (WIDTH + 2) + "\n")
