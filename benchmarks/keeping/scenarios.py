"""What is done to the stage while the load runs. Times in seconds after the load's beginning."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.keeping.stage import Stage

WARM_S = 10.0  # no edge cases before: routes must be known before something on them is unusual


@dataclass(frozen=True, slots=True)
class Step:
    at: float
    says: str
    act: Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``fault``: from when to when something is wrong. ``closed``: saturation, each client asks again at once.
    ``prepare``: before anything is started; its answer is why that cannot be done here, "" when it was."""

    name: str
    says: str
    seconds: float
    steps: tuple[Step, ...] = ()
    fault: tuple[float, float] = (0.0, 0.0)
    closed: bool = False
    storm: float = 0.0  # failures a second, while the fault lasts
    edges: float = 1.0  # of the rate that is asked for
    recorded: bool = True
    prepare: Callable[[Stage], str] = field(default=lambda _: "")


def _kill_agent(name: str) -> Callable[[Stage], None]:
    return lambda stage: stage.kill_agent(name)


def _kill_server(stage: Stage) -> None:
    assert stage.server is not None
    stage.server.kill()


def _end(name: str, number: signal.Signals) -> Callable[[Stage], None]:
    return lambda stage: stage.end_service(name, number)


def _small_spools(stage: Stage) -> str:
    """Each agent's spool on a file system of 256 KiB, which is full at once."""
    for agent in stage.agents.values():
        if why_not := stage.hosts.small_disk(agent.spool, 256 << 10):
            return why_not
    return ""


def _jumping(stage: Stage) -> str:
    return stage.own_clocks()


def _jump(name: str, seconds: int) -> Callable[[Stage], None]:
    return lambda stage: stage.jump(name, seconds)


SCENARIOS = (
    Scenario("bare", "the same services, not recorded", 30, recorded=False),
    Scenario("calm", "no fault", 50),
    Scenario("usual", "no fault, one request in 200 an edge case: for what is shipped", 90, edges=0.025),
    Scenario("saturation", "as much load as the services take", 50, closed=True),
    Scenario(
        "agent-killed",
        "kill -9 of an agent, of two others later; each is started again at once",
        55,
        (
            Step(20, "kill -9 of middle's agent", _kill_agent("middle")),
            Step(28, "kill -9 of front's agent", _kill_agent("front")),
            Step(36, "kill -9 of back's agent", _kill_agent("back")),
        ),
        (20, 40),
    ),
    Scenario(
        "server-down",
        "kill -9 of the server, started again after 60 s",
        95,
        (Step(20, "kill -9 of the server", _kill_server), Step(80, "server back", Stage.start_server)),
        (20, 80),
    ),
    Scenario(
        "disk-full",
        "spools on 256 KiB, server away for 25 s",
        60,
        (Step(20, "kill -9 of the server", _kill_server), Step(45, "server back", Stage.start_server)),
        (20, 45),
        prepare=_small_spools,
    ),
    Scenario(
        "clock-jumps",
        "middle's clock 7 min ahead, then 5 min behind; front's 3 min behind",
        60,
        (
            Step(20, "middle +7 min", _jump("middle", 420)),
            Step(30, "middle -5 min", _jump("middle", -300)),
            Step(40, "front -3 min", _jump("front", -180)),
        ),
        (20, 50),
        prepare=_jumping,
    ),
    Scenario(
        "restarts",
        "orders ended in order, stock and worker by kill -9, all under way; each is started again at once",
        60,
        (
            Step(20, "SIGTERM to orders", _end("orders", signal.SIGTERM)),
            Step(30, "kill -9 of stock", _end("stock", signal.SIGKILL)),
            Step(40, "kill -9 of the worker", _end("worker", signal.SIGKILL)),
        ),
        (20, 45),
    ),
    Scenario("storm", "1,000 failures/s in stock", 50, fault=(20, 35), storm=1000),
    Scenario("storm-bare", "the same, not recorded", 50, fault=(20, 35), storm=1000, recorded=False),
)
