"""What our sitecustomize calls, before the program begins."""

from __future__ import annotations

import sys

from aftertrace.errors import UsageError
from aftertrace.record import recorder
from aftertrace.record.program import Program
from aftertrace.settings import from_environment

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from aftertrace.record.recorder import Say


def start(say: Say) -> None:
    """Begins to record, as the environment says. Never raises."""
    try:
        if recorder.start(from_environment(), Program(sys.orig_argv), say):
            instrument(say)
    except UsageError as error:
        say(f"{error.slug}: {error.message} {error.hint} Not recording")
    except Exception as error:  # the program goes on
        say(f"not-recording: {type(error).__name__}: {error}")


def instrument(say: Say) -> None:
    """Requests, queries and messages become spans; whatever fails there must not reach the program."""
    try:
        from aftertrace.record import boundaries  # noqa: PLC0415  # after the recorder: what it imports is seen

        boundaries.install()
    except Exception as error:  # the program goes on without
        say(f"no-boundaries: {type(error).__name__}: {error}")
