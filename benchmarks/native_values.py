"""What it costs to copy a value: ns, medians, measured around value_write() in C.

python benchmarks/native_values.py
"""

from __future__ import annotations

import statistics
from typing import Any

from aftertrace import _native


class Order:
    """An object of eight small attributes."""

    def __init__(self) -> None:
        for i in range(8):
            setattr(self, f"field{i}", i)


VALUES: dict[str, Any] = {
    "None": None,
    "int": 12345,
    "short str": "hello",
    "str of 1,000": "x" * 1000,
    "float": 1.5,
    "list of 8 ints": list(range(8)),
    "dict of 8 small entries": {f"key{i}": i for i in range(8)},
    "object of 8 attributes": Order(),
    "sensitive dict of 8": {f"password{i}": i for i in range(8)},
}
ROUNDS = 2000


def main() -> None:
    """Prints a line per value."""
    samples: dict[str, list[float]] = {name: [] for name in VALUES}
    for _ in range(31):
        for name, value in VALUES.items():
            samples[name].append(_native.time_value(value, ROUNDS))
    for name, taken in samples.items():
        print(f"{name:28} {statistics.median(taken):8.1f} ns")


if __name__ == "__main__":
    main()
