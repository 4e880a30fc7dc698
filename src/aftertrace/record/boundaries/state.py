"""What became of each boundary, and how often it failed: `doctor` reads it."""

from __future__ import annotations

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from typing import Literal

type State = Literal["installed", "waiting", "skipped", "absent"]


class Ledger:
    """One line per boundary: its state, why, and our own failures, which the program never sees."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[State, str]] = {}
        self._failures: dict[str, tuple[int, str]] = {}

    def set(self, name: str, state: State, detail: str = "") -> None:
        self._states[name] = (state, detail)

    def installed(self, name: str) -> bool:
        return name in self._states and self._states[name][0] == "installed"

    def failed(self, name: str, error: Exception) -> None:
        """Counts a failure of ours. Keeps the error's type only: its traceback would hold the program's objects.

        What the program has raised into the middle of our work (a time limit, by a signal's handler or from another
        thread) is not ours: it is raised on.
        """
        if type(error).__module__ != "builtins" or isinstance(error, TimeoutError):
            raise error
        count = self._failures.get(name, (0, ""))[0]
        self._failures[name] = (count + 1, type(error).__name__)

    def failures(self) -> int:
        return sum(count for count, _ in self._failures.values())

    def lines(self) -> list[tuple[str, str, str]]:
        """(name, state, detail) in the order of installation; behind them boundaries that failed under a name of their
        own, as those do that wait for several modules."""
        found: list[tuple[str, str, str]] = [
            (name, state, self._detail(name, detail)) for name, (state, detail) in self._states.items()
        ]
        others = self._failures.keys() - self._states.keys()
        return found + [(name, "installed", self._detail(name, "")) for name in sorted(others)]

    def _detail(self, name: str, detail: str) -> str:
        count, last = self._failures.get(name, (0, ""))
        told = f"{count} internal failures, the last {last}" if count else ""
        return "; ".join(part for part in (detail, told) if part)


ledger = Ledger()
