"""`aftertrace doctor`: what it finds, with a real agent's socket, and without."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import venv
from pathlib import Path
from typing import Any

import pytest

from .conftest import COMMAND, run


def doctor(directory: Path, *words: str, **env: str) -> tuple[int, dict[str, Any]]:
    done = run([*COMMAND, "doctor", "--json", *words], directory, **env)
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def states(report: dict[str, Any]) -> dict[str, str]:
    return {finding["check"]: finding["state"] for finding in report["findings"]}


def test_on_a_machine_where_all_is_well_only_agent_and_server_are_missing(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1"
    code, report = doctor(
        tmp_path, AFTERTRACE_AGENT_SOCKET=str(tmp_path / "none"), AFTERTRACE_SERVER=nobody, AFTERTRACE_ENDPOINT=nobody
    )
    assert code == 0
    assert states(report) == {
        "python": "ok",
        "native": "ok",
        "frames": "ok" if sys.version_info < (3, 14) else "warn",
        "monitoring": "ok",
        "ring": "ok",
        "agent": "warn",
        "server": "warn",
        "endpoint": "warn",
    }
    assert all(finding["hint"] for finding in report["findings"] if finding["state"] != "ok")


def test_settings_come_with_their_origin_and_no_secret(tmp_path: Path) -> None:
    _, report = doctor(tmp_path, AFTERTRACE_LEVEL="lines", OTEL_SERVICE_NAME="cart", AFTERTRACE_TOKEN="hush")
    found = {setting["name"]: (setting["value"], setting["origin"]) for setting in report["settings"]}
    assert found["level"] == ("lines", "AFTERTRACE_LEVEL")
    assert found["service"] == ("cart", "OTEL_SERVICE_NAME")
    assert found["token"] == ("***", "AFTERTRACE_TOKEN")
    assert found["budget"] == (1.0, "default")  # a level asked for by its name is what is recorded


def test_why_code_is_in_or_out(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    _, report = doctor(tmp_path, "app.py", "json", "aftertrace.record.link", "nothing.here")
    found = {entry["name"]: (entry["user"], entry["rule"]) for entry in report["code"]}
    assert found["app.py"] == (True, f"under the root {tmp_path}/")
    assert found["json"][0] is False
    assert found["json"][1].startswith("library: under ")
    assert found["aftertrace.record.link"][0] is False
    assert found["nothing.here"] == (False, "no such file or module")


def test_a_command_that_would_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    code, report = doctor(tmp_path, "--", sys.executable, "app.py", "--json")
    assert code == 0
    assert states(report)["command"] == states(report)["interpreter"] == "ok"
    assert any("'app'" in finding["message"] for finding in report["findings"])
    assert report["code"][0]["user"] is True


def test_commands_that_could_not_be_recorded(tmp_path: Path) -> None:
    code, report = doctor(tmp_path, "--", sys.executable, "-I", "app.py")
    assert (code, states(report)["command"]) == (1, "bad")
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    code, report = doctor(tmp_path, "--", str(tmp_path / "bare" / "bin" / "python"), "app.py")
    assert (code, states(report)["interpreter"]) == (1, "bad")
    code, report = doctor(tmp_path, "--", "sh", "start.sh")
    assert (code, states(report)["command"]) == (0, "warn")


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("AFTERTRACE_LEVEL", "all", "bad-level"),
        ("AFTERTRACE_SERVER", "ftp://x", "server"),
        ("AFTERTRACE_SERVER", ":", "server"),
    ],
)
def test_bad_settings_are_findings(name: str, value: str, check: str, tmp_path: Path) -> None:
    code, report = doctor(tmp_path, **{name: value})
    assert (code, states(report)[check]) == (1, "bad")


def test_fallbacks_and_the_switch_are_told(tmp_path: Path) -> None:
    code, report = doctor(tmp_path, AFTERTRACE_FRAMES="public", AFTERTRACE_RING_MEMORY="file", AFTERTRACE_ENABLED="0")
    assert code == 0
    found = states(report)
    assert (found["frames"], found["ring"], found["enabled"]) == ("warn", "warn", "warn")


@pytest.mark.parametrize(
    ("answer", "state"),
    [(b'{"version": "9", "processes": 3}\n', "ok"), (b"hello\n", "bad"), (b"[1]\n", "bad"), (b"", "bad")],
)
def test_whoever_listens_at_the_agent_s_socket_is_asked(answer: bytes, state: str, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                assert json.loads(connection.recv(1000)) == {"type": "status", "watch": False}
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        _, report = doctor(socket_path.parent, AFTERTRACE_AGENT_SOCKET=str(socket_path))
        thread.join()
    assert states(report)["agent"] == state


def test_for_people_it_is_text_on_stdout(tmp_path: Path) -> None:
    done = run([*COMMAND, "doctor", "json"], tmp_path)
    assert done.returncode == 0
    assert "settings in force" in done.stdout
    assert "not   json: library: under " in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_doctor_works_under_run(tmp_path: Path) -> None:
    words = [*COMMAND, "run", "--agent-socket", str(tmp_path / "none"), "--", *COMMAND, "doctor", "--json"]
    done = subprocess.run(
        words, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert states(report)["native"] == states(report)["boundaries"] == "ok"
    told = {finding["check"]: finding["message"] for finding in report["findings"]}["boundaries"]
    assert "threading" in told.partition(";")[0]
    assert "httpx" in told.partition(";")[2]


def test_the_libraries_of_the_command_s_python_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    _, report = doctor(tmp_path, "--", sys.executable, "app.py")
    told = {finding["check"]: finding["message"] for finding in report["findings"]}
    assert {"httpx", "sqlite3", "starlette", "huey"} <= set(re.findall(r"[\w.]+", told["boundaries"]))
    assert "boundary" not in told
    (tmp_path / "httpx.py").write_text("class Client: pass")
    _, report = doctor(tmp_path, "--", sys.executable, "app.py")
    told = {finding["check"]: finding["message"] for finding in report["findings"]}
    assert told["boundary"] == "httpx makes no spans: Client.send is not there."
