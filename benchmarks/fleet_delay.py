"""From a failure to the other agents' parts being readable: real server, agents, recorded processes on this machine.

python benchmarks/fleet_delay.py [--agents 3] [--rounds 10]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "agent"))

from agent_parts import Agent, Child, Server  # type: ignore[import-not-found]  # beside the tests


def failed(children: list[Any]) -> str:
    """A request through all of them, which fails in the last."""
    told = children[0].tell("fine")
    for number, child in enumerate(children[1:], 1):
        order = "fail" if number == len(children) - 1 else "fine"
        parent = json.dumps([int(told["trace"], 16), int(told["span"], 16), 1, ""])
        told = child.tell(f"{order} {parent}")
    return str(told["trace"])


def until(what: Any) -> float:
    """Seconds."""
    began = time.monotonic()
    while not what():
        time.sleep(0.01)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp())
    server = Server(place / "store")
    agents, children = [], []
    for number in range(options.agents):
        (place / str(number)).mkdir()
        agents.append(Agent(place / str(number), server.otlp))
        children.append(Child(place / str(number), agents[-1].socket, f"service-{number}"))
    until(lambda: all(agent.status()["fleet"]["state"] == "on" for agent in agents))
    marked: list[float] = []
    readable: list[float] = []
    for _ in range(options.rounds):
        trace = failed(children)
        began = time.monotonic()
        marked.append(until(lambda: agents[0].status()["counts"]["marked"] > len(marked)))
        until(lambda: (found := server.bundle(trace)) and len(found.recordings) == len(agents))  # noqa: B023
        readable.append(time.monotonic() - began)
    for child in children:
        child.close()
    for agent in agents:
        agent.end()
    server.end()
    for name, found in (
        ("another agent knows (by its status, 0.1-0.3 s a look)", marked),
        ("all parts readable", readable),
    ):
        print(f"{name}: median {statistics.median(found):.2f} s, worst {max(found):.2f} s of {len(found)}")


if __name__ == "__main__":
    main()
