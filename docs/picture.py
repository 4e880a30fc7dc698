"""The README's picture: what `aftertrace why` and `step` print about a request, as docs/demo.svg.

aftertrace demo --variant base --keep-running      # in another terminal
python docs/picture.py ID                          # the id of its fault 1
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

WIDTH = 112
STEPS = "next\nprint zone\n"


def printed(*words: str, stdin: str = "") -> str:
    env = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-P", "-m", "aftertrace", *words]
    return subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=True).stdout


def main() -> None:
    reference = sys.argv[1]
    console = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO())
    for words, stdin in ((("why", reference), ""), (("step", reference, "--at", "cause"), STEPS)):
        console.print(Text.from_markup(f"[dim]$[/] [bold]aftertrace {' '.join(words)}[/]"))
        console.print(Text.from_ansi(printed(*words, stdin=stdin)))
    # Without the fonts that it would fetch from afar.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="aftertrace"), flags=re.DOTALL)
    Path(__file__).with_name("demo.svg").write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"))


if __name__ == "__main__":
    main()
