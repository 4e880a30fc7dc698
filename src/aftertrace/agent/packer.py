"""The thread that packs: what is kept is redacted, encoded and put into the outbox while the rings are read on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from aftertrace.agent.keep import COMPANY
from aftertrace.agent.outbox import Outbox
from aftertrace.agent.pack import Pack, Packed
from aftertrace.agent.part import Job, Part
from aftertrace.agent.ration import Ration
from aftertrace.agent.rules import RULE
from aftertrace.agent.tell import Teller
from aftertrace.agent.watch import KEEP

_MOST_JOBS = 128
_MOST_PACKED = 2000  # records and spans
_NO_FAILURES = {KEEP, RULE, *COMPANY}
_BUSY = 2  # requests in the outbox: the one that is being sent, and the next; what comes meanwhile goes together
_LATEST_S = 5.0  # and then, however many there are: an agent that is killed loses what it only packed


class Packer:
    """Takes jobs; those that still lack a source wait for it, within their own time. ``failed`` gets the parts of those
    that were not only asked for."""

    def __init__(
        self, pack: Pack, outbox: Outbox, teller: Teller, failed: Callable[[Part], None], ration: Ration
    ) -> None:
        self._ration = ration
        self._pack = pack
        self._outbox = outbox
        self._teller = teller
        self._failed = failed
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[Job] = []
        self._packed = Packed()  # not yet in the outbox
        self._since = 0.0  # when the last went there, monotonic, s
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
        if self._thread.is_alive():
            self._teller.once("end", "not all that was kept could be packed before the end")

    def _run(self) -> None:
        while self._fetch():
            self._turn()
        for job in self._waiting:
            job.deadline = 0.0
        self._turn(ended=True)

    def _fetch(self) -> bool:
        """Waits for jobs and takes all that there are. False: no more will come."""
        wait = 0.1 if self._waiting or self._packed or self._pack.late else None
        with suppress(queue.Empty):
            while (job := self._jobs.get(wait != 0.0, wait)) is not None:
                self._waiting.append(job)
                wait = 0.0
            return False
        return True

    def _prepare(self, job: Job) -> None:
        if job.prepared:
            return
        job.prepare()
        if any(name not in _NO_FAILURES for name in job.names):
            for part in job.parts:
                self._failed(part)

    def _turn(self, *, ended: bool = False) -> None:
        """What is ready goes in common requests; while the server is behind, in fewer and larger ones."""
        self._packed.add(self._pack.late_sources())
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            try:
                self._prepare(job)
                if job.lacks() and time.monotonic() < job.deadline:
                    self._waiting.append(job)
                else:
                    self._packed.add(self._pack.pack(job))
            except Exception as error:  # one trace must not cost all others
                said = f"{type(error).__name__}: {error}"
                self._teller.once("pack", f"a kept trace ({job.trace}) could not be packed: {said}")
        late = time.monotonic() - self._since > _LATEST_S
        if ended or late or len(self._packed) >= _MOST_PACKED or self._outbox.behind() < _BUSY:
            self._since = time.monotonic()
            packed, self._packed = self._packed, Packed()
            for request in packed.requests():
                self._ration.spend(len(request.body))
                self._outbox.put(request)
