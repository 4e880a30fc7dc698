"""Hands letters to the mail server's folder."""

import logging
import os
from pathlib import Path
from typing import Any

try:
    from aftertrace import keep
except ImportError:

    def keep(reason: str, **fields: object) -> None:
        """It also runs without a flight recorder."""


log = logging.getLogger(__name__)
OUTBOX = Path(os.environ.get("DATA_DIR", "data")) / "outbox.txt"


class NoAddressError(ValueError):
    """A member who is written to on paper."""


def send(subject: str, recipients: list[dict[str, Any]]) -> int:
    sent = 0
    with OUTBOX.open("a") as outbox:
        for recipient in recipients:
            try:
                outbox.write(f"{address(recipient)}: {subject}\n")
            except NoAddressError as error:
                log.error("%s has no address, a paper letter is due", error)
            sent += 1
    return sent


def address(recipient: dict[str, Any]) -> str:
    if not recipient["mail"]:
        raise NoAddressError(recipient["name"])
    return str(recipient["mail"])


def check(club: str, sent: int, members: int) -> None:
    if sent != members:
        log.warning("%d of %d members of %s were written to", sent, members, club)
        keep("letters missing", club=club)
