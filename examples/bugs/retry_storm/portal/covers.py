"""Pictures of covers, where we have one."""

import logging

log = logging.getLogger(__name__)
COVERS = {"Salt and Stone": "c-118.jpg", "The Winter Garden": "c-204.jpg", "Letters from a Harbour": ""}


class NoCoverError(LookupError):
    """Shown as a grey box."""


def cover(title: str) -> str:
    try:
        return _file(title)
    except NoCoverError:
        return "none.svg"


def _file(title: str) -> str:
    name = COVERS.get(title)
    if name is None:
        raise NoCoverError(title)
    if not name:
        log.error("the cover of %r is an empty file name", title)
    return name or "none.svg"
