"""Where the shop's sources are: in the installed package, or in the checkout that this file belongs to."""

from __future__ import annotations

from pathlib import Path

from aftertrace.errors import NotFound


def shop_sources() -> Path:
    """The directory with the shop. Raises NotFound in an installation that was stripped of it."""
    here = Path(__file__).resolve()
    for directory in (here.with_name("shop"), here.parents[4] / "examples" / "shop"):
        if (directory / "shop.json").is_file():
            return directory
    raise NotFound(
        "no-shop", "The demo's shop is not part of this installation.", "Install aftertrace from its wheel or checkout."
    )
