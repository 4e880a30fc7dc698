"""The README's picture, docs/demo.svg: what `aftertrace demo` prints from the first failure to its cause.

python docs/picture.py
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 110
BEGIN, END = "What goes wrong", "Step through it"


def printed() -> list[str]:
    """The demo's lines. Raises CalledProcessError when it fails."""
    env = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-P", "-m", "aftertrace", "demo", "--variant", "base"]
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def main() -> None:
    lines = printed()
    begin, end = (next(at for at, line in enumerate(lines) if words in line) for words in (BEGIN, END))
    console = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(lines[begin:end])))
    # Without the fonts that it would fetch from afar.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="aftertrace demo"), flags=re.DOTALL)
    Path(__file__).with_name("demo.svg").write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"))


if __name__ == "__main__":
    main()
