"""What `aftertrace run` refuses, what it says, and where it cannot record."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from aftertrace.record.run import SITE

from .conftest import COMMAND, START, Agent, environment, recorded, run

SHOWS = "import os, sys\ndef f(): print(sys.argv, 'aftertrace._native' in sys.modules)\nf()\n"


def test_a_missing_command_is_told_like_a_shell_does(tmp_path: Path) -> None:
    done = run([*COMMAND, "run", "--", "no-such-command"], tmp_path)
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr.startswith("error: no-such-command: There is no command 'no-such-command'.\nhint: ")


def test_a_file_that_may_not_be_executed_is_told(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    done = run([*COMMAND, "run", "--", "./tool"], tmp_path)
    assert done.returncode == 126
    assert "error: not-executable: " in done.stderr
    (tmp_path / "tool").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "tool").chmod(0o755)
    done = run([*COMMAND, "run", "--", "./tool"], tmp_path)
    assert done.returncode == 126
    assert "error: cannot-run: ./tool does not start: Exec format error." in done.stderr


@pytest.mark.parametrize("options", [["--level", "everything"], ["--budget", "200%"], ["--budget", "much"], []])
def test_words_that_cannot_be_read_start_nothing(options: list[str], tmp_path: Path) -> None:
    words = ["--", sys.executable, "-c", "print('started')"] if options else []
    done = run([*COMMAND, "run", *options, *words], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_script_runs_with_and_without_execute_permission(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(f"#!{sys.executable}\n{SHOWS}")
    assert run(recorded(agent.path, ["app.py", "a"]), tmp_path).stdout == "['app.py', 'a'] True\n"
    (tmp_path / "app.py").chmod(0o755)
    assert run(recorded(agent.path, ["./app.py", "a"]), tmp_path).stdout == "['./app.py', 'a'] True\n"
    assert all(process.kinds[START] == 2 for process in agent.all_closed())


def test_options_behind_the_command_are_the_program_s(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(SHOWS)
    words = [
        *COMMAND,
        "run",
        "--agent-socket",
        str(agent.path),
        sys.executable,
        "app.py",
        "--level",
        "x",
        "--help",
        "--",
    ]
    assert run(words, tmp_path).stdout == "['app.py', '--level', 'x', '--help', '--'] True\n"


def test_a_shell_script_hands_the_recorder_on(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(SHOWS)
    (tmp_path / "start.sh").write_text(f"#!/bin/sh\nexec {sys.executable} app.py\n")
    (tmp_path / "start.sh").chmod(0o755)
    assert run(recorded(agent.path, ["./start.sh"]), tmp_path).stdout == "['app.py'] True\n"
    [process] = agent.all_closed()
    assert process.ring is not None
    assert process.ring.service == "start"


@pytest.mark.parametrize("flag", ["-I", "-E", "-S", "-sIB"])
def test_an_isolated_python_runs_and_is_told_of(flag: str, tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(SHOWS)
    done = run(recorded(agent.path, [sys.executable, flag, "app.py"]), tmp_path)
    assert (done.returncode, done.stdout) == (0, "['app.py'] False\n")
    assert "the program runs, and is not recorded" in done.stderr
    (tmp_path / "tool").write_text(f"#!{sys.executable} {flag}\n{SHOWS}")
    (tmp_path / "tool").chmod(0o755)
    done = run(recorded(agent.path, ["./tool"]), tmp_path)
    assert (done.returncode, done.stdout) == (0, "['./tool'] False\n")
    assert "the program runs, and is not recorded" in done.stderr


@pytest.mark.parametrize("word", ["0", "false", "Off"])
def test_switched_off_nothing_of_ours_is_there(word: str, tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text("import os, sys\nprint('PYTHONPATH' in os.environ)\n" + SHOWS)
    done = run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path, AFTERTRACE_ENABLED=word)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n['app.py'] False\n", "")
    assert not agent.processes


def test_a_child_can_be_switched_off(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(
        "import os, subprocess, sys\n"
        "subprocess.check_call([sys.executable, '-c', 'pass'], env=os.environ | {'AFTERTRACE_ENABLED': '0'})\n"
    )
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == 0
    assert len(agent.all_closed()) == 1


def test_a_python_without_aftertrace_says_so_once_and_goes_on(tmp_path: Path, agent: Agent) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    (tmp_path / "app.py").write_text(SHOWS + "import subprocess\nsubprocess.check_call([sys.executable, '-c', SHOW])\n")
    (tmp_path / "app.py").write_text(
        f"{SHOWS}import subprocess\nif len(sys.argv) == 1: subprocess.check_call([sys.executable, 'app.py', 'child'])\n"
    )
    done = run(recorded(agent.path, [python, "app.py"]), tmp_path)
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == ["['app.py', 'child'] False", "['app.py'] False"]
    assert done.stderr == f"aftertrace: not-installed: {python} does not find aftertrace; install aftertrace there.\n"
    assert not agent.processes


def test_a_setting_that_cannot_be_read_stops_recording_not_the_program(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SHOWS)
    done = run([sys.executable, "app.py"], tmp_path, PYTHONPATH=SITE, AFTERTRACE_LEVEL="everything")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith("aftertrace: bad-level: ")


def test_no_room_for_a_ring_stops_recording_not_the_program(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def f(): return 1\nprint(f())\n")
    code = "import os, resource as r, sys\nr.setrlimit(r.RLIMIT_AS, (1 << 29, 1 << 29))\n"
    code += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    env = environment(PYTHONPATH=SITE, AFTERTRACE_RING_BYTES="2GiB")
    words = [sys.executable, "-c", code, "app.py"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert "aftertrace: not-recording: " in done.stderr


def test_the_program_s_pythonpath_stays_behind_ours(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("def g(): return 1\n")
    (tmp_path / "app.py").write_text("import helper, os, sys\nhelper.g()\nprint(os.environ['PYTHONPATH'], sys.path)\n")
    done = run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path, PYTHONPATH="lib")
    bare = run([sys.executable, "app.py"], tmp_path, PYTHONPATH="lib")
    assert done.stdout == f"{SITE}{os.pathsep}{bare.stdout}"


def test_an_installed_package_that_the_command_names_is_user_code(tmp_path: Path, agent: Agent) -> None:
    """A container has the service in site-packages, and its working directory is anything."""
    packages = tmp_path / "site-packages"
    (packages / "shop").mkdir(parents=True)
    (packages / "other").mkdir()
    (packages / "other" / "__init__.py").write_text("def h(): return 1\n")
    (packages / "shop" / "__init__.py").write_text("import other\ndef f(): return other.h()\n")
    (packages / "shop" / "__main__.py").write_text("from shop import f\nf()\n")
    (tmp_path / "elsewhere").mkdir()
    words = recorded(agent.path, [sys.executable, "-m", "shop"])
    assert run(words, tmp_path / "elsewhere", PYTHONPATH=str(packages)).returncode == 0
    [process] = agent.all_closed()
    assert {Path(source.path).parent.name for source in process.sources} == {"shop"}
    assert process.kinds[START] == 3


def test_include_and_exclude_are_heard(tmp_path: Path, agent: Agent) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.py").write_text("def f(): return 1\n")
    (tmp_path / "app.py").write_text("import one, two, three, textwrap\ntextwrap.dedent('')\n")
    options = ["--exclude", "two", "--exclude", "./three.py", "--include", "textwrap"]
    assert run(recorded(agent.path, [sys.executable, "app.py"], *options), tmp_path).returncode == 0
    [process] = agent.all_closed()
    assert {Path(source.path).name for source in process.sources} == {"app.py", "one.py", "textwrap.py"}
