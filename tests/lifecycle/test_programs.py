"""Programs of every kind of life run recorded as they run bare; their recordings tell what they saw of themselves."""

from __future__ import annotations

import programs_calls
import programs_endings
import programs_processes
import programs_tasks
import programs_threads
import pytest
from lab import Lab
from rebuilding import check_rebuilt

PROGRAMS = (
    programs_tasks.PROGRAMS
    | programs_threads.PROGRAMS
    | programs_calls.PROGRAMS
    | programs_endings.PROGRAMS
    | programs_processes.PROGRAMS
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_runs_as_bare_and_is_recorded_as_it_ran(name: str, lab: Lab) -> None:
    check_rebuilt(lab.same(PROGRAMS[name]))
