"""A child process that is started again when it ends: the agent under ``aftertrace up``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Mapping

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0  # a child that lived so long begins again with the first pause
_GRACE_S = 10.0

type Say = Callable[[str], None]


async def supervise(argv: list[str], env: Mapping[str, str], stop: asyncio.Event, say: Say) -> None:
    """Runs the command until ``stop`` is set, then ends it (SIGTERM, after 10 s SIGKILL). Its output goes to stderr."""
    pause = _FIRST_PAUSE_S
    while not stop.is_set():
        began = time.monotonic()
        child = await asyncio.create_subprocess_exec(
            *argv, env=dict(env), stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr.fileno()
        )
        code = await _until(child, stop)
        if stop.is_set():
            return
        if time.monotonic() - began > _STEADY_S:
            pause = _FIRST_PAUSE_S
        say(f"the agent ended ({_ending(code)}); starting it again in {pause:g} s")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


async def _until(child: asyncio.subprocess.Process, stop: asyncio.Event) -> int:
    """The child's exit code, once it ended by itself or because ``stop`` was set."""
    ended, stopped = asyncio.ensure_future(child.wait()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            child.terminate()
            await asyncio.wait({ended}, timeout=_GRACE_S)
        if not ended.done():
            child.kill()
        return await ended
    finally:
        stopped.cancel()


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
