"""Makes the helpers beside the tests importable; a real server and a real agent."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from agent_parts import Agent, Child, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server") / "store")
    yield running
    assert running.end() == 0


@pytest.fixture
def agent(tmp_path, server):
    running = Agent(tmp_path, server.otlp)
    yield running
    assert running.end() == 0, running.errors()


@pytest.fixture
def child(tmp_path, agent):
    """Starts recorded processes; ends what is left of them."""
    started = []

    def start(*options: str) -> Child:
        started.append(Child(tmp_path, agent.socket, *options))
        return started[-1]

    yield start
    for one in started:
        one.close()
