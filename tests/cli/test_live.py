"""`aftertrace doctor --live`, with real processes that lose context, shed code and lose bytes."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli import live
from aftertrace.show.usage import Outside

from .watched import Watched, wait_for


def line_of(program: Path, text: str) -> int:
    return program.read_text().splitlines().index(text) + 1


def named(report: dict[str, Any], check: str, about: str) -> list[dict[str, str]]:
    return [one for one in report["findings"] if one["check"] == check and f"`{about}`" in one["message"]]


@pytest.fixture(scope="module")
def report(watched: Watched) -> dict[str, Any]:
    code, found = watched.doctor("mail")
    assert code == 0
    return found


def test_calls_outside_of_any_request_are_named_with_their_thread_s_start(
    watched: Watched, report: dict[str, Any]
) -> None:
    assert report["findings"][0]["message"] == "1 process recorded: mail."
    (found,) = named(report, "context", "mail")
    send, start = line_of(watched.mail, "def send_mail(stop):"), line_of(watched.mail, "worker.start()")
    place = f"{watched.directory.name}/mail.py"
    assert found["state"] == "warn"
    under = f"all of them under send_mail ({place}:{send}), in a thread started at {place}:{start}."
    assert f"ran outside any request, {under}" in found["message"]
    assert re.match(r"\d+(\.\d+)? % of recorded calls in `mail` ", found["message"])
    assert found["hint"].startswith("Start the thread within the request")
    (service,) = report["services"]
    assert service["calls"] > 2300 < service["outside"] + 2300
    assert [one["name"] for one in service["places"]] == ["send_mail"]


def test_modules_own_lines_are_no_finding_and_are_counted_apart(report: dict[str, Any]) -> None:
    (found,) = named(report, "context", "mail")
    assert "<module>" not in found["message"]
    assert re.search(r"Modules' own lines \(imports, a script\) account for \d+(\.\d+)? % more\.", found["message"])
    assert report["services"][0]["in_modules"] >= 302  # at_rest, what it calls, and the module


def test_code_that_was_shed_is_named_with_what_it_cost(watched: Watched) -> None:
    def shed() -> list[dict[str, str]]:
        return [one for one in named(watched.doctor("orders")[1], "budget", "orders") if "fib" in one["message"]]

    (found,) = wait_for(shed)
    place = re.escape(f"{watched.directory.name}/orders.py:{line_of(watched.orders, 'def fib(n):')}")
    assert found["state"] == "warn"
    assert re.search(
        rf"its budget of 2 % of CPU time only by not recording \d+ functions?, .*fib \({place}\), which cost \d",
        found["message"],
    )
    assert "AFTERTRACE_BUDGET" in found["hint"]


def test_exceptions_that_cost_too_much_are_said_to_be_left_out(watched: Watched) -> None:
    (found,) = wait_for(lambda: named(watched.doctor("orders")[1], "exceptions", "orders"))
    assert found["state"] == "warn"
    assert re.search(r"that it records (no )?exceptions", found["message"])


def test_bytes_that_a_small_ring_lost_are_told(watched: Watched) -> None:
    assert watched.agent is not None
    child = watched.record("bulk", watched.mail, "--level", "calls", AFTERTRACE_RING_BYTES="1MiB")
    assert child.stdin is not None
    assert child.stdout is not None
    wait_for(lambda: '"bulk"' in watched.run("status", "--json").stdout)
    os.kill(watched.agent.pid, signal.SIGSTOP)
    try:
        child.stdin.write("20000\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n"
    finally:
        os.kill(watched.agent.pid, signal.SIGCONT)
    (found,) = wait_for(lambda: named(watched.doctor("bulk")[1], "ring", "bulk"))
    assert re.search(r"lost recordings, [\d.]+ [KM]iB so far|losing recordings, [\d.]+ [KM]iB so far", found["message"])
    assert "AFTERTRACE_RING_BYTES=16MiB" in found["hint"]
    child.kill()
    child.wait(20)


def test_a_service_of_which_no_process_is_connected(watched: Watched) -> None:
    code, report = watched.doctor("nobody")
    assert code == 1
    assert [(one["check"], one["state"]) for one in report["findings"]] == [("processes", "bad")]
    assert report["findings"][0]["message"] == "No process of `nobody` is connected to the agent."


def test_for_people(watched: Watched) -> None:
    done = watched.run("doctor", "--live")
    assert done.returncode == 0
    assert re.search(r"^ok    processes    \d processes recorded: .*mail, orders", done.stdout, re.M)
    assert re.search(r"^warn  context      .*`mail` ran outside any request", done.stdout, re.M)
    assert "settings in force" not in done.stdout


def test_two_services_are_one_too_many(watched: Watched) -> None:
    done = watched.run("doctor", "--live", "orders", "mail")
    assert done.returncode == 2
    assert "error: bad-words: doctor --live takes one service." in done.stderr


def test_without_an_agent(tmp_path: Path, watched: Watched) -> None:
    done = watched.run("doctor", "--live", "--json", AFTERTRACE_AGENT_SOCKET=str(tmp_path / "none"))
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["check"] == "no-agent"


@pytest.mark.parametrize("started", ["", "/app/mail.py:31"])
def test_the_same_place_in_two_processes_is_one(started: str) -> None:
    place = Outside("/app/mail.py", "send", 20, 30, started)
    other = Outside("/app/mail.py", "retry", 40, 50, "")
    found = live._merged([place, other, Outside("/app/mail.py", "send", 20, 40, "")])
    assert [(one.name, one.calls, one.started) for one in found] == [("send", 70, started), ("retry", 50, "")]
