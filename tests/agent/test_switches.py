"""D17's switches: recording ends and begins without a restart; commands that die early twice are left alone."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from agent_parts import COMMAND, Agent, wait_for

from aftertrace.agent import deaths
from aftertrace.agent.deaths import Command, Deaths, ended
from aftertrace.agent.switches import ASLEEP_S, Switches
from aftertrace.agent.tell import Teller
from aftertrace.wire import switches
from aftertrace.wire.switches import Off

# Works until its stdin ends; forks when it is told to; says what it is asked.
PROGRAM = """
import os, sys, threading, time
def work(n):
    return n + 1
def busy():
    while not stop.wait(0.02):
        work(1)
stop = threading.Event()
thread = threading.Thread(target=busy)
thread.start()
print(os.getpid(), flush=True)
for line in sys.stdin:
    if line == "fork\\n":
        pid = os.fork()
        if not pid:
            print("child", os.getpid(), flush=True)
            time.sleep(60)
            os._exit(0)
    if line == "modules\\n":
        print(*[name for name in sys.modules if name.startswith("aftertrace")], flush=True)
stop.set()
thread.join()
"""
DYING = """
import os, signal, sys, time
print(os.getpid(), flush=True)
number = int(sys.stdin.readline())
if number == signal.SIGHUP:
    signal.signal(number, signal.SIG_DFL)  # nohup ignores it
os.kill(os.getpid(), number)
time.sleep(20)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    found = tmp_path_factory.mktemp("switches")
    (found / "program.py").write_text(PROGRAM)
    (found / "dying.py").write_text(DYING)
    return found


@pytest.fixture(scope="module")
def agent(directory):
    found = Agent(directory, "http://127.0.0.1:1")
    yield found
    found.end()


class Running:
    def __init__(self, agent, service, program="program.py") -> None:
        words = [*COMMAND, "run", "--agent-socket", str(agent.socket), "--service", service, "--", sys.executable]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([*words, program], cwd=agent.directory, text=True, **pipes)
        self.pid = int(self.process.stdout.readline())

    def ask(self, word: str) -> list[str]:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def end(self) -> str:
        """What it said on stderr; it must have ended well."""
        _, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        return err


def switch(agent, *words):
    done = subprocess.run(
        [*COMMAND, *words, "--socket", str(agent.socket)], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout, done.stderr


def levels(agent, service):
    """pid -> how much of it is recorded."""
    status = agent.status()
    found = {one["pid"]: one["level"] for one in status["processes"] if one["service"] == service and one["connected"]}
    return found | {one["pid"]: "off" for one in status["idle"] if one["service"] == service}


def die(agent, service, number) -> str:
    """What it said, which died when the agent knew of it."""
    dying = Running(agent, service, "dying.py")
    wait_for(lambda: dying.pid in levels(agent, service))
    _, err = dying.process.communicate(f"{int(number)}\n", timeout=30)
    assert dying.process.returncode == -number, err
    return err


def test_off_and_on_without_a_restart(agent):
    first = Running(agent, "cart")
    wait_for(lambda: levels(agent, "cart").get(first.pid) == "auto")
    code, out, _ = switch(agent, "off", "cart", "--reason", "an incident")
    assert (code, out.splitlines()[0]) == (0, "cart is off: 1 process not recorded any more.")
    assert levels(agent, "cart") == {first.pid: "off"}
    assert not any(one["service"] == "cart" for one in agent.status()["processes"])
    late = Running(agent, "cart")  # one that starts later
    wait_for(lambda: levels(agent, "cart") == {first.pid: "off", late.pid: "off"})
    assert not [name for name in late.ask("modules") if "boundaries" in name]
    child = int(late.ask("fork")[1])
    wait_for(lambda: levels(agent, "cart").get(child) == "off")
    code, out, _ = switch(agent, "on", "cart", "--json")
    assert code == 0
    assert json.loads(out)["held"] is None
    assert sorted(json.loads(out)["recorded"]) == sorted([first.pid, late.pid, child])
    assert set(levels(agent, "cart").values()) == {"auto"}
    wait_for(lambda: all(one["read_bytes"] > 2000 for one in agent.status()["processes"] if one["pid"] != child))
    os.kill(child, signal.SIGKILL)
    assert first.end() == ""
    said = late.end()
    assert said.count("switched-off: not recording 'cart': an incident, by ") == 1


def test_off_outlives_the_agent(agent, directory):
    assert switch(agent, "off", "mail")[0] == 0
    agent.end(signal.SIGKILL)
    agent.__init__(directory, "http://127.0.0.1:1")
    (off,) = agent.status()["off"]
    assert off["service"] == "mail"
    process = Running(agent, "mail")
    wait_for(lambda: levels(agent, "mail") == {process.pid: "off"})
    assert switch(agent, "on", "mail")[0] == 0
    assert agent.status()["off"] == []
    wait_for(lambda: levels(agent, "mail") == {process.pid: "auto"})
    process.end()
    assert not (directory / "run" / "agent.sock.off").exists()


def test_every_service_at_once(agent):
    one, other = Running(agent, "one"), Running(agent, "other")
    wait_for(lambda: levels(agent, "one") and levels(agent, "other"))
    assert "2 processes not recorded any more" in switch(agent, "off", "--all")[1]
    assert "stays off, as all services are" in switch(agent, "on", "one")[1]
    assert levels(agent, "one") == {one.pid: "off"}
    assert "2 processes recorded" in switch(agent, "on", "--all")[1]
    one.end()
    other.end()
    code, _, err = switch(agent, "off")
    assert (code, err.split(":")[1]) == (2, " which-service")


def test_two_early_deaths_by_signal(agent):
    """Ordinary ends do not count; the third start is not recorded, and says so; `on` clears it."""
    assert die(agent, "crash", signal.SIGTERM) == ""
    assert die(agent, "crash", signal.SIGSEGV) == ""
    assert die(agent, "crash", signal.SIGHUP) == ""
    assert agent.status()["off"] == []
    assert die(agent, "crash", signal.SIGKILL) == ""  # as out-of-memory does
    (off,) = wait_for(lambda: agent.status()["off"])
    assert off["argv"] == [sys.executable, "dying.py"]
    assert off["reason"] == "two of its processes died within 60 s of their start (SIGSEGV, SIGKILL)"
    assert off["until"] - off["since"] == ASLEEP_S
    said = die(agent, "crash", signal.SIGTERM)
    assert said.count("switched-off: not recording 'crash': two of its processes died") == 1
    assert "crash is not recorded any more: two of its" in agent.errors()
    another = Running(agent, "crash")  # another command of the service
    wait_for(lambda: levels(agent, "crash") == {another.pid: "auto"})
    doctor = subprocess.run(
        [*COMMAND, "doctor"], env=os.environ | {"AFTERTRACE_AGENT_SOCKET": str(agent.socket)}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "'crash' is switched off" in doctor.stdout
    assert "off      crash, until " in switch(agent, "status")[1]
    assert switch(agent, "on", "crash")[0] == 0
    assert die(agent, "crash", signal.SIGTERM) == ""
    another.end()


def test_how_a_process_ended_is_told_before_and_after_its_parent_asks():
    for number, code in ((signal.SIGABRT, 0), (0, 7)):
        with subprocess.Popen(
            [sys.executable, "-c", f"import os\nos.kill(os.getpid(), {int(number)})\nos._exit({code})"]
        ) as child:
            pidfd = os.pidfd_open(child.pid)
            assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT) is not None
            status = ended(pidfd, child.pid)
            assert status is not None
            assert os.waitstatus_to_exitcode(status) == (-number or code)
            child.wait()
            after = ended(pidfd, child.pid)
            assert after in {status, None}  # None: before Linux 6.15
            os.close(pidfd)


def test_deaths_count_by_command_and_in_a_window(monkeypatch):
    found = Deaths()
    one, other = Command("a", ("x",), 0), Command("a", ("y",), 0)
    assert found._count(Command("a", ("x",), 7), "SIGSEGV") == []  # another user's
    assert found._count(one, "SIGSEGV") == []
    assert found._count(other, "SIGSEGV") == []
    assert found._count(one, "SIGBUS")[0][0] == one
    assert found._count(one, "SIGBUS") == []  # it begins anew
    now = time.monotonic() + deaths.WINDOW_S + 1
    monkeypatch.setattr(deaths.time, "monotonic", lambda: now)
    assert found._count(other, "SIGSEGV") == []
    assert found._count(other, "SIGSEGV") != []


def test_a_list_that_is_none_holds_nobody(tmp_path):
    path = tmp_path / "a.sock.off"
    mine = {os.geteuid()}
    for data in (b"", b"[", b"[" * 100_000, b"{}", b'[1, {"service": 3}, {"service": "a"}]', b"\xff" * 100):
        path.write_bytes(data)
        assert switches.read(str(path), mine) == []
    switches.write(str(path), [Off("a", "r", 1.0)])
    assert switches.read(str(path), mine) == [Off("a", "r", 1.0)]
    assert switches.read(str(path), {12345}) == []  # another user's list is nobody's word
    link = tmp_path / "link"
    link.symlink_to(path)
    os.mkfifo(tmp_path / "fifo")
    for other in (link, tmp_path / "fifo", tmp_path, tmp_path / "none"):
        assert switches.read(str(other), mine) == []


def test_what_has_expired_holds_no_more(tmp_path):
    sock = tmp_path / "a.sock"
    now = time.time()
    lines = [Off("a", "r", now - 9, now - 1, ("x",)), Off("b", "r", now, now + 60, ("x",)), Off("c", "r", now)]
    switches.write(switches.path(str(sock)), lines)
    found = Switches(sock, Teller())
    assert [off["service"] for off in found.state()] == ["b", "c"]
    assert found.held("b") is None  # only those that start from now on
    assert found.held("c") is not None
    assert not lines[1].holds("b", ("y",), 7, now)
    assert lines[1].holds("b", ("x",), 7, now)
    found.on("")
    assert found.state() == []


def test_the_list_stays_readable_however_many_die(tmp_path):
    """Command lines are what processes say of themselves; what somebody has switched off stays."""
    found = Switches(tmp_path / "a.sock", Teller())
    found.off("cart", "x" * 10_000)
    for n in range(40):
        found.asleep(Command("b", (str(n), *["\udcff" * 512] * 30), 7), "two of its processes died")
    path = switches.path(str(tmp_path / "a.sock"))
    assert os.stat(path).st_size <= switches.LIMIT
    held = switches.read(path, {os.geteuid()})
    assert held[0].service == "cart"
    assert len(held[0].reason) == 512
    assert held[-1].argv[0] == "39"
    assert held[-1].holds("b", held[-1].argv, 7, time.time())
    assert not held[-1].holds("b", held[-1].argv, 0, time.time())
