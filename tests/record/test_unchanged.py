"""A recorded program behaves as it does bare: output, errors, tracebacks, exit codes, signals; and it is recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from .conftest import START, Agent, environment, recorded, run

PROGRAMS = {
    "what it sees of itself": """
import os, sys, threading, __main__
def main():
    print(sys.argv, sys.path, sys.flags, sys.orig_argv[1:], __name__, __file__, sorted(vars(__main__)))
    print("sitecustomize" in sys.modules, "usercustomize" in sys.modules, sys.warnoptions)
    print(sys.gettrace(), sys.getprofile())
    print([thread.name for thread in threading.enumerate()], threading.active_count())
    print(os.getcwd(), sys.stdin.read().split())
main()
""",
    "an uncaught exception": """
class Odd(Exception):
    def __str__(self): return "odd " * 3
def inner(n):
    return 1 // n
def outer():
    try:
        inner(0)
    except ZeroDivisionError as error:
        error.add_note("a note")
        raise Odd from error
outer()
""",
    "an exception group": """
def fails():
    raise ExceptionGroup("both", [ValueError(1), KeyError("k")])
fails()
""",
    "a syntax error": "def f(:\n",
    "an exit code": "import sys\ndef f(): sys.exit(7)\nf()\n",
    "an exit text": "import sys\ndef f(): sys.exit('farewell')\nf()\n",
    "os._exit": "import os\ndef f():\n    print('gone', flush=True)\n    os._exit(5)\nf()\n",
    "an interrupt": "import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGINT)\nf()\n",
    "a deadly signal": "import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGTERM)\nf()\n",
    "an abort": "import os\ndef f():\n    os.abort()\nf()\n",
    "atexit": "import atexit\ndef f(n): print('bye', n)\natexit.register(f, 1)\natexit.register(f, 2)\n1/0\n",
    "a deadly SIGPIPE": """
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
def f():
    a, b = os.pipe()
    os.close(a)
    os.write(b, b"x")
f()
""",
    "waiting for a blocked signal": """
import os, signal
def f():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.kill(os.getpid(), signal.SIGUSR1)
    print(signal.sigwait({signal.SIGUSR1}))
f()
""",
    "forks, and what Python says to them": """
import logging, os, sys, warnings
os.register_at_fork(after_in_parent=lambda: [len(str(n)) for n in range(100)])
def child(n): os._exit(n)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for n in range(5):
        pid = os.fork()
        if not pid:
            child(n)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(caught)
""",
    "a program that has put its own functions in the place of the system's": """
import builtins, os, subprocess, time
def refuse(*words, **options): raise RuntimeError("called")
for name in ("fstat", "listdir", "lstat", "open", "read", "scandir", "stat", "write"):
    setattr(os, name, refuse)
os.path.exists = time.sleep = time.monotonic = refuse
def f():
    pid = os.fork()
    if not pid:
        os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print([f() for _ in range(3)])
""",
    "a fork from a thread": """
import os, threading, warnings
def f():
    pid = os.fork()
    if not pid:
        os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    thread = threading.Thread(target=f)
    thread.start()
    thread.join()
print(len(caught))
""",
    "multiprocessing": """
import multiprocessing
def double(n): return 2 * n
if __name__ == "__main__":
    for how in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(how).Pool(2) as pool:
            print(pool.map(double, range(5)))
""",
    "a child with a setup function": """
import os, subprocess, warnings
def f(): return subprocess.run(["cat"], input=b"x", preexec_fn=os.setsid, capture_output=True)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(f(), caught)
""",
    "a child of an environment without us, whose stderr is read": """
import subprocess, sys
def f(): return subprocess.run([sys._base_executable, "-c", "print(1)"], capture_output=True)
print(f().stdout, f().stderr)
""",
    "asyncio": """
import asyncio
async def leaf(n):
    await asyncio.sleep(0)
    return n
async def main():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(leaf(n)) for n in range(20)]
    return sum(task.result() for task in tasks)
print(asyncio.run(main(), debug=True))
""",
    "a thread that outlives main": """
import threading, time
def f():
    time.sleep(0.2)
    print("late")
threading.Thread(target=f).start()
""",
    "no stderr": "import os, sys\nos.close(2)\ndef f(): sys.exit(4)\nf()\n",
    "all descriptors closed": """
import os, time
def f():
    os.closerange(3, 256)
    files = [open(f"own{n}", "wb+") for n in range(8)]
    a, b = __import__("socket").socketpair()
    time.sleep(1.5)
    b.setblocking(False)
    try:
        print(b.recv(100))
    except BlockingIOError:
        print("nothing came")
    for file in files:
        file.seek(0)
        print(file.read())
    if not os.fork():
        os._exit(0)
    os.wait()
    a.send(b"still open")
    print(b.recv(100), [file.write(b"x") for file in files])
f()
""",
}
NOT_STARTED = {"a syntax error"}  # nothing of it runs


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_behaves_as_it_does_bare(name: str, tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(PROGRAMS[name])
    bare = run([sys.executable, "app.py", "word", "--option"], tmp_path)
    under = run(recorded(agent.path, [sys.executable, "app.py", "word", "--option"]), tmp_path)
    assert (under.returncode, under.stdout, under.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    processes = agent.all_closed()
    assert all(process.ring and process.ring.service == "app" for process in processes)
    assert any(process.kinds[START] for process in processes) != (name in NOT_STARTED)


def test_a_module_behaves_as_it_does_bare(tmp_path: Path, agent: Agent) -> None:
    package = tmp_path / "shop" / "worker"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("import sys\ndef f(): print(sys.argv, sys.path, __package__)\nf()\nf(1)\n")
    bare = run([sys.executable, "-m", "shop.worker", "a"], tmp_path)
    under = run(recorded(agent.path, [sys.executable, "-m", "shop.worker", "a"]), tmp_path)
    assert bare.returncode == 1
    assert (under.returncode, under.stdout, under.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    [process] = agent.all_closed()
    assert process.ring is not None
    assert process.ring.service == "shop.worker"
    assert process.kinds[START]


def test_the_process_stays_the_same_one_and_gets_its_signals(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(
        "import os, signal, sys, time\n"
        "def stop(number, frame):\n    os.write(1, f'stopped {number}\\n'.encode())\n    sys.exit(9)\n"
        "signal.signal(signal.SIGTERM, stop)\nos.write(1, f'{os.getpid()}\\n'.encode())\ntime.sleep(60)\n"
    )
    words = recorded(agent.path, [sys.executable, "app.py"])
    with subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == f"stopped {int(signal.SIGTERM)}\n"
        assert process.wait(20) == 9
        assert time.monotonic() - begun < 10
    [found] = agent.all_closed()
    assert found.in_order


def test_a_killed_process_leaves_its_ring_to_the_agent(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text("import os, signal\ndef f(n):\n    os.kill(os.getpid(), signal.SIGKILL)\nf(1)\n")
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == -signal.SIGKILL
    [process] = agent.all_closed()
    assert process.kinds[START] == 2
    assert not process.in_order


def test_another_sitecustomize_is_run_as_it_is_without_us(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys\nsys.seen = __file__\n")
    (tmp_path / "app.py").write_text("import sys, sitecustomize\nprint(sys.seen, sitecustomize.__file__, sys.path)\n")
    words = [sys.executable, "app.py"]
    bare = run(words, tmp_path, PYTHONPATH="site")
    under = run(recorded(agent.path, words), tmp_path, PYTHONPATH="site")
    assert bare.returncode == 0
    assert (under.stdout, under.stderr) == (bare.stdout, bare.stderr)
    assert agent.all_closed()[0].kinds[START]


def test_another_sitecustomize_may_fail_as_it_does_without_us(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("raise ValueError('broken')\n")
    (tmp_path / "app.py").write_text("import sys\nprint('sitecustomize' in sys.modules)\n")
    bare = run([sys.executable, "app.py"], tmp_path, PYTHONPATH="site")
    under = run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path, PYTHONPATH="site")
    assert "ValueError: broken" in bare.stderr
    assert (under.returncode, under.stdout) == (bare.returncode, bare.stdout)
    assert under.stderr == bare.stderr * 2  # the command `aftertrace` is a Python program too
    assert agent.all_closed()[0].kinds[START]


def test_without_an_agent_nothing_changes_but_one_line_before(tmp_path: Path, socket_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAMS["an uncaught exception"])
    bare = run([sys.executable, "app.py"], tmp_path)
    under = run(recorded(socket_path, [sys.executable, "app.py"]), tmp_path)
    first, _, rest = under.stderr.partition("\n")
    assert (under.returncode, under.stdout, rest) == (bare.returncode, bare.stdout, bare.stderr)
    assert first.startswith(f"aftertrace: no agent at {socket_path}")


def test_a_read_only_place_changes_nothing(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text("import tempfile\ndef f(): return 1\nprint(f())\n")
    nowhere = {"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "XDG_RUNTIME_DIR": "/nonexistent"}
    under = run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path, **nowhere)
    assert (under.returncode, under.stdout, under.stderr) == (0, "1\n", "")
    assert agent.all_closed()[0].kinds[START] == 2


def test_little_room_for_descriptors_or_memory_is_no_error(tmp_path: Path, socket_path: Path) -> None:
    (tmp_path / "app.py").write_text("def f(): return 1\nprint(f())\n")
    script = (
        "import os, resource, sys\nresource.setrlimit(resource.{0}, ({1}, {1}))\nos.execv(sys.argv[1], sys.argv[1:])"
    )
    for limit, value in (("RLIMIT_NOFILE", 8), ("RLIMIT_AS", 40 << 20), ("RLIMIT_NPROC", 1)):
        words = [sys.executable, "-c", script.format(limit, value), *recorded(socket_path, [sys.executable, "app.py"])]
        env = environment(AFTERTRACE_RING_BYTES="64MiB")
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "1\n"), (limit, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_hung_agent_holds_up_neither_start_nor_fork_nor_end(tmp_path: Path, socket_path: Path) -> None:
    import socket

    (tmp_path / "app.py").write_text("import os\ndef f(): return os.fork()\nif f(): os.wait()\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
        listener.listen(0)
        blockers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for blocker in blockers:  # the queue of those who wait is full
            blocker.setblocking(False)
            try:
                blocker.connect(str(socket_path))
            except BlockingIOError:
                break
        begun = time.monotonic()
        done = run(recorded(socket_path, [sys.executable, "app.py"]), tmp_path)
        for blocker in blockers:
            blocker.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begun < 10


def test_a_stranger_s_agent_gets_no_ring_and_it_is_told(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    (tmp_path / "app.py").write_text("import time\ntime.sleep(0.5)\n")
    with tempfile.TemporaryDirectory() as directory:  # not below what only root may enter
        os.chown(directory, 12345, -1)
        os.seteuid(12345)  # as whom it listens: the kernel tells it to whoever connects
        try:
            agent = Agent(Path(directory) / "a.sock")
        finally:
            os.seteuid(0)
        words = recorded(agent.path, [sys.executable, "app.py"])
        done = run(words, tmp_path)
        assert done.returncode == 0
        assert done.stderr.count("AFTERTRACE_AGENT_USER=12345") == 1
        assert not any(process.ring for process in agent.processes)
        done = run(words, tmp_path, AFTERTRACE_AGENT_USER="12345")
        assert (done.returncode, done.stderr) == (0, "")
        agent.wait(lambda processes: any(process.ring for process in processes))
        agent.close()
