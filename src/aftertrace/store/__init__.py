"""Where traces are kept: ClickHouse SQL, embedded in the server's process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aftertrace.errors import NotInstalled

if TYPE_CHECKING:
    from aftertrace.store.store import Store


def open(directory: Path) -> Store:  # noqa: A001  # the contract's name
    """The store in a directory, made if it is new. Raises StoreError (in use, other release), NotInstalled."""
    try:
        from aftertrace.store.store import Store  # noqa: PLC0415  # the engine is 200 MB: only servers pay for it
    except ModuleNotFoundError as error:
        raise NotInstalled(
            "no-server-parts", f"The store needs {error.name}.", "Install them: pip install 'aftertrace[server]'."
        ) from None
    return Store(directory)
