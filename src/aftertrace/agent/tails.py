"""The processes of this host: their rings read into memory, what goes wrong in them told to the keeper."""

from __future__ import annotations

from collections.abc import Callable

from aftertrace import _native
from aftertrace.agent.judge import Judge
from aftertrace.agent.keep import Keeper
from aftertrace.agent.memory import Memory
from aftertrace.agent.process import Polled, Process
from aftertrace.agent.ration import Ration
from aftertrace.agent.rules import Rules
from aftertrace.agent.tell import Counts, Teller
from aftertrace.settings import HANG_S
from aftertrace.wire.handover import Ring


class Tails:
    """``alive``: the processes whose rings are read; ``processes``: also those that ended and are still remembered."""

    def __init__(
        self,
        memory_limit: int,
        counts: Counts,
        teller: Teller,
        released: Callable[[Process], None],
        hang_s: float = HANG_S,
        *,
        ration: Ration | None = None,
    ) -> None:
        """``released`` is called before a process's descriptors are closed; after ``hang_s`` an open request hangs."""
        self.processes: dict[int, Process] = {}
        self.alive: dict[str, Process] = {}  # by uid
        self.memory = Memory(memory_limit, self._forgotten, self._service)
        self.keeper = Keeper(self.memory, self.processes, counts, ration)
        self.judge = Judge(self.keeper, self.alive.values, counts, hang_s, ration=ration)
        self.rules = Rules()
        self._counts = counts
        self._released = released
        self._teller = teller
        self._numbers = 0

    def offer(self, ring: Ring, descriptor: int, pid: int) -> Process:
        """A process hands over its ring, perhaps not for the first time. ValueError, OSError: it is no ring of its."""
        known = self.alive.get(ring.process_uid)
        reader = _native.Reader(descriptor)
        if reader.process_uid.hex() != ring.process_uid:
            reader.close()
            raise ValueError("a ring of another process")
        if known is not None:
            reader.close()
            known.ring, known.connected = ring, True
            return known
        for other in [one for one in self.alive.values() if pid and one.pid == pid and not one.connected]:
            self.end(other, died=False)  # it has become this one by exec
        self._numbers += 1
        process = Process(self._numbers, ring, reader, pid)
        self.processes[process.number] = self.alive[process.uid] = process
        self._counts.rings += 1
        return process

    def poll(self) -> int:
        """Reads what is new in all rings; returns bytes."""
        got = sum(self._read(process) for process in list(self.alive.values()))
        self.judge.look()
        return got

    def disconnected(self, process: Process) -> None:
        """Its connection has ended; where the kernel tells us of processes, it may go on and connect again."""
        process.connected = False
        if process.pidfd >= 0 and not process.ended_in_order():
            self._read(process)
        else:
            self.end(process)

    def end(self, process: Process, *, died: bool = True) -> None:
        """It is over: the rest of its ring, and whether it died in the middle of something."""
        if self.alive.pop(process.uid, None) is None:
            return
        self._read(process, everything=True)
        process.connected = False
        process.died = died and not process.ended_in_order()
        process.gone = True
        if process.died:
            spans = len(process.watch.open)
            sentence = (
                f"process {process.ring.pid} of {process.ring.service or 'an unnamed service'} died "
                f"with {spans} {'span' if spans == 1 else 'spans'} open"
            )
            self.judge.died(process, sentence)
        self.keeper.gone(process)
        process.watch.clear()
        self._released(process)
        process.close()
        if not self.memory.holds(process.number):
            del self.processes[process.number]

    def _service(self, number: int) -> str:
        process = self.processes.get(number)
        return process.ring.service if process is not None else ""

    def _forgotten(self, number: int) -> None:
        process = self.processes.get(number)
        if process is not None and process.gone:
            del self.processes[number]

    def _read(self, process: Process, *, everything: bool = False) -> int:
        """What is new in one ring; returns bytes. Whatever a ring holds, the others are read on."""
        before = process.read_bytes
        try:
            for slices in () if process.spoilt else process.poll(everything=everything):
                for one in slices:
                    self._take(process, one)
        except Exception as error:
            process.spoilt = True
            self._teller.once("ring", f"the ring of {process.ring.service} is not read any more: {error!r}")
        return process.read_bytes - before

    def _take(self, process: Process, one: Polled) -> None:
        position, trace, _, records = one
        found = _native.survey(records)
        if trace is not None:
            self.memory.add(process.number, position, trace, records)
            if trace in self.keeper:
                self.keeper.touch(trace)
        if not found:
            return
        self.memory.parked.see(records, found)
        if self.rules:
            for trigger in self.rules.take(process, records, found):
                self.keeper.trigger(process, trigger)
        triggers, strays = process.watch.take(position, trace, records, found)
        for stray in strays:
            self.memory.add(process.number, stray.position, stray.trace, stray.records, fragment=True)
            if stray.trace in self.keeper:
                self.keeper.touch(stray.trace)
        self.judge.take(process, triggers)
