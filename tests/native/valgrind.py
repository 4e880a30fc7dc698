"""Runs exercise.py under Valgrind's memcheck and fails on what the extension has to do with.

An error counts when the extension stands anywhere in its stack; a lost block too, but for what the module makes once at
its import and start (names, types), which lives as long as the process. The interpreter's own losses are its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

MADE_ONCE = {"populate", "begin"}
COMMAND = [
    "valgrind",
    "--tool=memcheck",
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect",
    "--num-callers=40",
    "--child-silent-after-fork=yes",
    "--xml=yes",
]


def ours(stack: ET.Element) -> list[str]:
    """The extension's functions in a stack, innermost first."""
    return [
        f"{frame.findtext('fn')} ({frame.findtext('file')}:{frame.findtext('line')})"
        for frame in stack.iter("frame")
        if "_native." in (frame.findtext("obj") or "")
    ]


def complaints(report: Path) -> list[str]:
    found = []
    for error in ET.parse(report).getroot().iter("error"):
        kind = error.findtext("kind") or ""
        functions = [name for stack in error.iter("stack") for name in ours(stack)]
        if not functions:
            continue
        if kind.startswith("Leak") and MADE_ONCE & {name.split(" ")[0] for name in functions}:
            continue
        found.append(f"{kind}: {error.findtext('what') or error.findtext('xwhat/text')}: {' < '.join(functions)}")
    return found


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "memcheck.xml"
        exercise = Path(__file__).with_name("exercise.py")
        command = [*COMMAND, f"--xml-file={report}", sys.executable, "-P", exercise]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONMALLOC": "malloc"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode or done.stdout != "done\n":
            print(done.stdout, done.stderr, sep="\n")
            return 1
        found = complaints(report)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"memcheck: {len(found)} of the extension's")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
