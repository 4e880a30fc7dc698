"""An agent and its programs that are different users: who may read what is recorded, and who may give orders."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aftertrace.record.run import environment as recording
from aftertrace.record.run import resolve
from aftertrace.settings import from_environment
from aftertrace.wire import handover

from ..record.conftest import COMMAND, environment
from .conftest import AS_OTHER, OTHER, needs_root

pytestmark = needs_root

LOOP = "import sys\ndef f(n): return n + 1\nf(1)\nprint('up', flush=True)\nsys.stdin.read()\nf(2)\nprint('done')\n"
STARTED: list[subprocess.Popen[str]] = []
AS_THIRD = [word.replace(str(OTHER), str(OTHER + 1)) for word in AS_OTHER]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        (path / "app.py").write_text(LOOP)
        yield path
        while STARTED:  # what a test that failed has left
            with STARTED.pop() as process:
                process.kill()


class Agent:
    """`aftertrace agent`, as another user or as ours."""

    def __init__(self, place: Path, wrap: list[str], **env: str) -> None:
        home = place / "agent"
        home.mkdir(mode=0o755)
        if wrap:
            os.chown(home, OTHER, OTHER)
        self.socket = home / "run" / "agent.sock"
        words = [*wrap, *COMMAND, "agent", "--json", "--socket", str(self.socket), "--spool", str(home / "spool")]
        self.process = subprocess.Popen(
            [*words, "--endpoint", "http://127.0.0.1:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(**env), cwd=place,
        )  # fmt: skip
        STARTED.append(self.process)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.said = json.loads(line) if line else {}

    def end(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=30)[1]

    def ask(self) -> dict[str, Any]:
        done = command([], "status", self.socket, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def recorded(self) -> list[int]:
        """Users whose processes are recorded."""
        return [os.stat(f"/proc/{one['pid']}").st_uid for one in self.ask()["processes"] if one["connected"]]


def command(wrap: list[str], word: str, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrap, *COMMAND, word, *words, "--socket", str(path)], capture_output=True, text=True, timeout=60, check=False,
        env=environment(),
    )  # fmt: skip


class Program:
    """A recorded program of some user, until it is let end."""

    def __init__(self, place: Path, agent: Agent, wrap: list[str], **env: str) -> None:
        words = [sys.executable, "app.py"]
        given = environment(AFTERTRACE_AGENT_SOCKET=str(agent.socket), AFTERTRACE_SERVICE="app", **env)
        given |= recording(given, from_environment(given), resolve(words))
        del given["AFTERTRACE_STDERR"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([*wrap, *words], cwd=place, env=given, text=True, **pipes)
        STARTED.append(self.process)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def end(self) -> str:
        """What was said on stderr; the program ran as ever."""
        out, err = self.process.communicate(timeout=30)
        assert (self.process.returncode, out) == (0, "done\n"), err
        return err


def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_agent_of_another_user_must_be_named_and_must_admit(place: Path) -> None:
    """The recommended way: the agent has a user of its own, the programs are root and others."""
    agent = Agent(place, AS_OTHER, AFTERTRACE_AGENT_GROUP=str(OTHER))
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o660
    assert (agent.socket.stat().st_uid, agent.socket.stat().st_gid) == (OTHER, OTHER)
    assert stat.S_IMODE(agent.socket.parent.stat().st_mode) == 0o710
    unnamed = Program(place, agent, [])
    assert f"AFTERTRACE_AGENT_USER={OTHER}" in unnamed.end()
    assert agent.recorded() == []
    named = Program(place, agent, [], AFTERTRACE_AGENT_USER=str(OTHER))
    own = Program(place, agent, AS_OTHER)
    until(lambda: sorted(agent.recorded()) == [0, OTHER])
    assert named.end() == own.end() == ""
    agent.end()


def test_root_s_agent_admits_a_group_and_nobody_else(place: Path) -> None:
    agent = Agent(place, [], AFTERTRACE_AGENT_GROUP=str(OTHER))
    assert (agent.socket.stat().st_uid, agent.socket.stat().st_gid) == (0, OTHER)
    member, stranger = Program(place, agent, AS_OTHER), Program(place, agent, AS_THIRD)
    until(lambda: agent.recorded() == [OTHER])
    assert member.end() == ""
    said = stranger.end()
    assert said.count(f"AFTERTRACE_AGENT_GROUP={OTHER + 1}") == 1
    agent.end()


def test_without_a_group_only_its_own_user_may_connect(place: Path) -> None:
    agent = Agent(place, [])
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o600
    stranger = Program(place, agent, AS_OTHER)
    assert "does not admit user" in stranger.end()
    done = command(AS_OTHER, "status", agent.socket)
    assert (done.returncode, done.stderr.split(":")[1]) == (5, " not-yours")
    told = subprocess.run(
        [*AS_OTHER, *COMMAND, "doctor"], capture_output=True, text=True, timeout=60, check=False,
        env=environment(AFTERTRACE_AGENT_SOCKET=str(agent.socket)),
    )  # fmt: skip
    assert f"start the agent with AFTERTRACE_AGENT_GROUP={OTHER}" in told.stdout
    agent.end()


def test_members_of_the_group_give_no_orders(place: Path) -> None:
    agent = Agent(place, [], AFTERTRACE_AGENT_GROUP=str(OTHER))
    program = Program(place, agent, [])
    until(lambda: agent.recorded() == [0])
    done = command(AS_OTHER, "off", agent.socket, "app")
    assert (done.returncode, done.stderr.split(":")[1]) == (5, " not-yours")
    assert agent.ask()["off"] == []
    assert agent.recorded() == [0]
    assert command([], "off", agent.socket, "app").returncode == 0
    assert agent.recorded() == []
    program.end()
    agent.end()


def test_the_list_of_services_that_are_off_is_believed_to_the_agent_s_user_alone(place: Path) -> None:
    agent = Agent(place, AS_OTHER, AFTERTRACE_AGENT_GROUP=str(OTHER))
    listed = Path(f"{agent.socket}.off")
    lie = json.dumps([{"service": "", "reason": "a lie", "since": 1.0, "until": 0.0, "argv": []}])
    listed.write_text(lie)
    os.chown(listed, OTHER + 1, -1)
    program = Program(place, agent, [], AFTERTRACE_AGENT_USER=str(OTHER))
    until(lambda: agent.recorded() == [0])
    assert program.end() == ""
    os.chown(listed, OTHER, -1)
    assert "switched-off" in Program(place, agent, [], AFTERTRACE_AGENT_USER=str(OTHER)).end()
    agent.end()


def test_a_group_that_the_agent_may_not_give_is_an_error(place: Path) -> None:
    agent = Agent(place, AS_OTHER, AFTERTRACE_AGENT_GROUP="0")
    agent.end()
    assert agent.said["error"]["slug"] == "agent-group"
    assert not agent.socket.exists()


@pytest.mark.parametrize("name", ["AFTERTRACE_AGENT_USER", "AFTERTRACE_AGENT_GROUP"])
def test_users_and_groups_by_name(name: str) -> None:
    found = from_environment({name: "root"})
    assert (found.agent_user, found.agent_group) in {(0, -1), (-1, 0)}
    done = subprocess.run(
        [*COMMAND, "doctor"], env=environment(**{name: "nobody-at-all"}), capture_output=True, text=True, check=False
    )
    assert "bad-setting" in done.stdout


def test_what_another_user_hands_over_is_held_to_the_same_rules(place: Path) -> None:
    """A ring of somebody else's, claimed by its id, and garbage: refused, and the agent lives on."""
    agent = Agent(place, [], AFTERTRACE_AGENT_GROUP=str(OTHER))
    program = Program(place, agent, [])
    until(lambda: agent.recorded() == [0])
    script = (
        "import os, socket, sys\nfrom aftertrace.wire import handover\n"
        "ring = handover.Ring('00' * 16, os.getpid(), 'app', 'calls')\n"
        "fd = os.memfd_create('fake'); os.write(fd, os.urandom(1 << 16))\n"
        "line = handover.connect(sys.argv[1], 5)\nhandover.send(line, ring, fd)\nprint(line.recv(999).decode())\n"
    )
    done = subprocess.run(
        [*AS_OTHER, sys.executable, "-c", script, str(agent.socket)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert isinstance(handover.decode(done.stdout.encode().strip()), handover.Refused), done.stderr
    assert agent.recorded() == [0]
    program.end()
    agent.end()
