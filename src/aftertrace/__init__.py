"""aftertrace: step through yesterday's production failure, line by line, across every service it touched."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own would have to be imported, and this module is imported by services
if TYPE_CHECKING:
    from typing import Any

    from aftertrace.record.install import install

__version__ = "0.1.0"
__all__ = ["__version__", "install", "keep"]


def keep(reason: str, **attributes: Any) -> None:
    """Keeps the request that runs now, in every service that it passed through. Does nothing when this process is not
    recorded, and never raises."""
    native = sys.modules.get("aftertrace._native")
    if native is not None:
        native.keep(reason, attributes or None)


def _not_here(**_words: Any) -> bool:
    """``install()`` in a sub-interpreter: it cannot be recorded."""
    if sys.stderr is not None:
        print("aftertrace: sub-interpreter: what runs in a sub-interpreter is not recorded.", file=sys.stderr)
    return False


def __getattr__(name: str) -> Any:
    if name == "install":
        try:
            from aftertrace.record.install import install  # noqa: PLC0415  # `import aftertrace` stays light
        except ImportError as error:
            if "subinterpreter" not in str(error):
                raise
            return _not_here
        return install
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
