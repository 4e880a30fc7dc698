"""``make transparency``: the test suites of well-known packages, bare and under the recorder: do the same tests pass?

Each suite runs bare, recorded at lines with its package and its tests as user code, and bare again; tests that the
bare runs disagree about are set aside. Exit code 0: no differences but those of known.toml, and all of those.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from transparency import compare, report, rooms
from transparency.compare import Verdict
from transparency.packages import PACKAGES, Package
from transparency.suite import Run, run


class _Progress:
    """On stderr; a line that is written over where somebody watches."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._started = time.monotonic()

    def begin(self, what: str) -> Callable[[int, int], None]:
        """What is done now; the answer takes tests done and their number."""
        self._started = time.monotonic()
        self._show(f"{what} ...", end="" if self._watched else "\n")

        def progress(done: int, tests: int) -> None:
            if self._watched and tests:
                self._show(f"{what}: {done} of {tests}, {time.monotonic() - self._started:.0f} s", end="")

        return progress

    def end(self, what: str) -> None:
        self._show(what, end="\n")

    def _show(self, text: str, end: str) -> None:
        begin = "\r\x1b[K" if self._watched else ""
        click.echo(f"{begin}{text}{end}", nl=False, err=True)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(PACKAGES)), metavar="[PACKAGE]...")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON on stdout.")
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Judges the packages named, or all."""
    progress = _Progress()
    verdicts: list[Verdict] = []
    failed: dict[str, str] = {}
    differences = compare.known()
    progress.begin("aftertrace's wheel")
    built = rooms.wheel()
    for name in dict.fromkeys(names or PACKAGES):
        try:
            verdicts.append(_judge(PACKAGES[name], built, differences, progress))
        except rooms.Unprepared as error:
            failed[name] = str(error)
            progress.end(f"{name}: {error}")
    _answer(verdicts, failed, as_json=as_json)
    if failed or not all(verdict.ok for verdict in verdicts):
        sys.exit(1)


def _judge(package: Package, built: Any, differences: list[compare.Difference], progress: _Progress) -> Verdict:
    title = f"{package.name} {package.version}"
    progress.begin(f"{title}: prepared")
    room = rooms.prepare(package, built)

    def done(name: str, *, recorded: bool = False) -> Run:
        found = run(room, name, recorded=recorded, progress=progress.begin(f"{title}: {name}"))
        progress.end(f"{title}: {name}: {found.passed} passed, {found.wall:.1f} s")
        return found

    first, second, third = done("bare"), done("recorded", recorded=True), done("bare-again")
    return compare.judge(package, first, second, third, differences)


def _answer(verdicts: list[Verdict], failed: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"packages": [report.to_json(one) for one in verdicts], "unprepared": failed}, indent=1))
    else:
        click.echo(report.text(verdicts, failed))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended, as on Ctrl-C
    try:
        command(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
