"""The thread that packs: what is kept is redacted, encoded and put into the outbox while the rings are read on."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress

from aftertrace.agent.outbox import Outbox
from aftertrace.agent.pack import Job, Pack
from aftertrace.agent.tell import Teller

_MOST_JOBS = 128


class Packer:
    """Takes jobs; those that still lack a source wait for it, within their own time."""

    def __init__(self, pack: Pack, outbox: Outbox, teller: Teller) -> None:
        self._pack = pack
        self._outbox = outbox
        self._teller = teller
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[Job] = []
        self._thread = threading.Thread(target=self._run, name="aftertrace-pack", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def room(self) -> bool:
        """Whether it can take more. If not, what is kept stays in memory for now."""
        return self._jobs.qsize() + len(self._waiting) < _MOST_JOBS

    def put(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self, patience: float) -> None:
        """Packs what it has, for so many seconds at most."""
        self._jobs.put(None)
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            with suppress(queue.Empty):
                job = self._jobs.get(timeout=0.1 if self._waiting or self._pack.late else None)
                if job is None:
                    break
                self._waiting.append(job)
            self._waiting = [one for one in self._waiting if not self._try(one)]
            self._late()
        for one in self._waiting:
            self._ship(one)

    def _try(self, job: Job) -> bool:
        """Whether it is done with."""
        try:
            job.prepare()
            if job.lacks() and time.monotonic() < job.deadline:
                return False
        except Exception as error:  # one trace must not cost all others
            self._failed(job, error)
            return True
        self._ship(job)
        return True

    def _ship(self, job: Job) -> None:
        try:
            for request in self._pack.requests(job):
                self._outbox.put(request)
        except Exception as error:  # as above
            self._failed(job, error)

    def _late(self) -> None:
        for request in self._pack.late_sources():
            self._outbox.put(request)

    def _failed(self, job: Job, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        self._teller.once("pack", f"a kept trace ({job.trace}) could not be packed: {said}")
