"""Conditions that are put together, with their values apart from them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Conditions:
    """SQL over the table ``kept``, one row for each trigger of a trace, joined with AND; values by parameter name."""

    sql: list[str] = field(default_factory=list)
    parameters: dict[str, object] = field(default_factory=dict)

    def parameter(self, value: float | str) -> str:
        """A placeholder for a value; whole numbers have 64 bits."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        if isinstance(value, str):
            return f"{{{name}:String}}"
        if isinstance(value, float):
            return f"{{{name}:Float64}}"
        return f"{{{name}:{'Int64' if value < 0 else 'UInt64'}}}"
