"""`ls`, `show` and `step` as a person and a program meet them: a real server, real recordings of three services."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli.answers import put
from aftertrace.errors import Unavailable
from aftertrace.model import Keep, LogRecord, Resource
from aftertrace.show import ls
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import SHOP, running
from .filled import COMMAND, ask, serving

type Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> TraceData:
    """A request that fails two services down, kept, with a log record of its own."""
    with running(tmp_path_factory.mktemp("shop"), SHOP) as shop:
        trace = shop.trace(shop.request("gateway", "/checkout", {"country": "CH", "pieces": [1, 2]}))
    inventory = next(span for span in trace.spans if span.service == "inventory")
    text = "no shelf \x1b[2Jfor 'CH-'"
    resource = Resource({"service.name": "inventory"})
    log = LogRecord(inventory.start_ns + 1000, 17, text, resource, trace.trace_id, inventory.span_id, scope="stock")
    keep = Keep(trace.trace_id, "unhandled-exception", "KeyError: 'CH-'", "inventory", "00" * 16, inventory.end_ns)
    return replace(trace, logs=[log], keeps=[keep])


@pytest.fixture(scope="module")
def env(failed: TraceData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with serving(tmp_path_factory.mktemp("store") / "s", failed) as environment:
        environment.pop("FORCE_COLOR", None)
        environment["COLUMNS"] = "100"
        yield environment


def test_ls_names_the_request_and_what_to_do_next(env: dict[str, str], failed: TraceData) -> None:
    done = ask(env, "ls")
    assert done.returncode == 0
    head, line = done.stdout.splitlines()
    assert head.split()[:3] == ["time", "id", "request"]
    assert failed.trace_id[:8] in line
    assert "POST /checkout" in line
    assert "KeyError: 'CH-'" in line
    assert max(map(len, (head, line))) <= 100
    assert f"aftertrace why {failed.trace_id[:8]}" in done.stderr
    assert "\x1b" not in done.stdout
    whole = json.loads(ask(env, "ls", "--json", "--limit", "1").stdout)
    assert whole["traces"][0]["trace_id"] == failed.trace_id
    assert ask(env, "ls", "status=ok").stdout == ""
    assert "No kept request fits" in ask(env, "ls", "status=ok").stderr
    assert ask(env, "ls", "nonsense=1").returncode == 2


def test_ls_of_an_empty_store_says_how_to_begin(tmp_path: Path) -> None:
    with serving(tmp_path / "s") as env:
        done = ask(env, "ls")
        assert (done.returncode, done.stdout) == (0, "")
        assert "aftertrace run" in done.stderr
        assert json.loads(ask(env, "ls", "--json").stdout)["traces"] == []
        last = ask(env, "show", "last")
        assert last.returncode == 3
        assert last.stderr.startswith("error: nothing-kept: ")


def test_groups_count_failures_by_cause(env: dict[str, str], failed: TraceData) -> None:
    done = ask(env, "groups", "--since", "7d")
    assert done.returncode == 0
    head, line = done.stdout.splitlines()
    assert head.split() == ["group", "count", "first", "last", "trend", "failure", "route", "versions"]
    assert "KeyError in inventory" in line
    assert line.split()[1] == "1"
    assert "█" in line
    assert max(map(len, (head, line))) <= 100
    assert f"aftertrace why {failed.trace_id[:8]}" in done.stderr
    group = line.split()[0]
    assert failed.trace_id[:8] in ask(env, "ls", f"group={group}").stdout
    whole = json.loads(ask(env, "groups", "--since", "7d", "--json").stdout)
    assert [one["id"][:8] for one in whole["groups"]] == [group]
    wrong = ask(env, "groups", "--since", "yesterday")
    assert (wrong.returncode, "bad-since" in wrong.stderr) == (2, True)


def test_groups_of_an_empty_store(tmp_path: Path) -> None:
    with serving(tmp_path / "s") as env:
        done = ask(env, "groups")
        assert (done.returncode, done.stdout) == (0, "")
        assert "Nothing that failed was kept in the last 24h." in done.stderr


def test_an_exported_request_is_opened_without_a_server(env: dict[str, str], failed: TraceData, tmp_path: Path) -> None:
    full, shaped = tmp_path / "full.trace", tmp_path / "shaped.trace"
    alone = {**env, "AFTERTRACE_SERVER": "http://127.0.0.1:9"}
    done = ask(env, "export", failed.trace_id[:8], "-o", str(full), "--values", "full")
    assert (done.returncode, done.stdout) == (0, "")
    assert "all recorded values" in done.stderr
    asked, opened = ask(env, "why", failed.trace_id, "--json"), ask(alone, "open", str(full), "why", "--json")
    alike = [json.loads(one.stdout) for one in (opened, asked)]
    assert [one.pop("impact") is None for one in alike] == [True, False]  # a file knows nothing of other requests
    assert [one.pop("group") is None for one in alike] == [True, False]
    assert alike[0] == alike[1]
    assert "KeyError" in ask(alone, "open", str(full)).stdout
    cause = subprocess.run(
        [*COMMAND, "open", str(full), "step", "--at", "cause", "--json"],
        env=alone, input="p country\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert cause.returncode == 0, cause.stderr
    assert json.loads(cause.stdout.splitlines()[0])["command"] == ""

    done = ask(env, "export", failed.trace_id, "-o", str(shaped))
    assert "by shape" in done.stderr
    assert stat.S_IMODE(shaped.stat().st_mode) == 0o600
    answer = ask(alone, "open", str(shaped), "why", "--json")
    assert answer.returncode == 0
    assert "CH-" not in answer.stdout
    assert json.loads(answer.stdout)["failure"]["exception"] == "KeyError"
    tree = ask(alone, "open", str(shaped), "show").stdout
    assert "POST /checkout" in tree
    assert "CH-" not in tree


def test_an_export_overwrites_nothing_and_is_whole(env: dict[str, str], failed: TraceData, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    done = ask(env, "export", failed.trace_id, "-o", str(there))
    assert (done.returncode, "file-exists" in done.stderr, there.read_text()) == (2, True, "mine")
    assert ask(env, "export", failed.trace_id, "-o", str(there), "--force").returncode == 0
    assert there.read_bytes() != b"mine"
    nowhere = ask(env, "export", failed.trace_id, "-o", str(tmp_path / "no" / "file"))
    assert (nowhere.returncode, "bad-output" in nowhere.stderr) == (2, True)
    assert [one.name for one in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("data", [None, b"", b"no file of ours", b"\x28\xb5\x2f\xfd\x00"])
def test_what_is_no_export(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    done = ask(dict(os.environ), "open", str(path), "why")
    assert done.returncode in {2, 3, 4, 5, 6}
    assert done.stdout == ""
    assert done.stderr.startswith("error: bad-")
    assert "Traceback" not in done.stderr


def test_show_is_a_tree_over_the_services(env: dict[str, str], failed: TraceData) -> None:
    done = ask(env, "show", "last")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    depth = {}
    for name in ("gateway POST /checkout", "region_for(country='CH') = 'CH-'", "orders POST /orders", "find(region="):
        line = next(line for line in lines if line.strip().startswith(name))
        depth[name] = len(line) - len(line.lstrip())
    assert list(depth.values()) == sorted(depth.values())
    assert any("! KeyError('CH-')" in line and "inventory.py:4" in line for line in lines)
    assert any(line.strip() == r"ERROR: no shelf \x1b[2Jfor 'CH-'" for line in lines)  # and no raw escape
    assert "\x1b" not in done.stdout
    assert f"aftertrace step {failed.trace_id[:8]}" in done.stderr
    answer = json.loads(ask(env, "show", failed.trace_id, "--json").stdout)
    assert [row["type"] for row in answer["rows"]].count("span") == len(failed.spans)
    assert answer["left_out"] == 0
    short = json.loads(ask(env, "show", failed.trace_id, "--json", "--limit", "4").stdout)
    assert short["left_out"] == len(answer["rows"]) - 4
    shown = sum(row["type"] != "left_out" for row in short["rows"])
    assert shown == 4


@pytest.mark.parametrize(
    ("words", "code", "slug"),
    [
        (["show", "ffffffffffff"], 3, "no-such-trace"),
        (["show", "not hex"], 2, "bad-id"),
        (["step", "ffffffffffff"], 3, "no-such-trace"),
        (["step", "last", "--at", "nowhere.py:3"], 3, "no-such-file"),
        (["step", "last", "--at", "1.2.3"], 3, "no-such-step"),
    ],
)
def test_what_is_not_there_is_said_with_a_slug(env: dict[str, str], words: list[str], code: int, slug: str) -> None:
    done = ask(env, *words)
    assert done.returncode == code
    assert f"error: {slug}: " in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    said = ask(env, *words, "--json")
    assert json.loads(said.stdout.splitlines()[-1])["error"]["slug"] == slug


def test_no_server_is_said_with_a_hint(tmp_path: Path) -> None:
    env = {**os.environ, "AFTERTRACE_SERVER": "http://127.0.0.1:1"}
    for words in (["ls"], ["show", "last"], ["step", "last"]):
        done = ask(env, *words)
        assert done.returncode == 5
        assert "Start one: aftertrace up" in done.stderr


def steps(env: dict[str, str], *commands: str, at: str = "") -> list[dict[str, Any]]:
    """The answers to commands read from a pipe, the opening one first."""
    words = ["step", "last", "--json", *(["--at", at] if at else [])]
    done = ask(env, *words, stdin="".join(f"{one}\n" for one in commands))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(commands) + 1, done.stderr
    return answers


def places(answers: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["place"]["service"], one["place"]["line"]) for one in answers if one["answer"] == "stop"]


def test_a_piped_session_walks_over_the_services_and_back(env: dict[str, str]) -> None:
    answers = steps(env, "goto gateway.py:10", "s", "n", "s", "n", "s", "w", "ro", "ro", "ro", "b", "rs")
    assert places(answers) == [
        ("gateway", 9), ("gateway", 10), ("orders", 9), ("orders", 10), ("inventory", 7), ("inventory", 8),
        ("inventory", 11), ("orders", 10), ("gateway", 10), ("gateway", 10), ("gateway", 9), ("gateway", 9),
    ]  # fmt: skip
    stack = next(one for one in answers if one["answer"] == "stack")["stack"]
    assert [one["service"] for one in stack] == ["inventory", "orders", "gateway"]
    assert stack[1]["border"]["text"] == "POST http://inventory/reserve"
    assert answers[2]["from"]["service"] == "gateway"


def test_values_conditions_and_who_wrote_them(env: dict[str, str]) -> None:
    answers = steps(
        env, "goto raise", "p region", "up 2", "p body['region'] + '!'", "args", "l", "history total", "wrote total",
        "break price", "break orders.py:6 if piece == 2", "c", "c", "rc", "rc", "rc", "delete 1", "break",
    )  # fmt: skip
    said = [one["answer"] for one in answers]
    assert said[:2] == ["stop", "stop"]
    assert answers[1]["exception"]["text"] == "KeyError('CH-')"
    assert (answers[2]["text"], answers[4]["text"]) == ("'CH-'", "'CH-!'")
    assert [one["name"] for one in answers[5]["locals"]] == ["path", "body"]
    assert {one["name"]: one["text"] for one in answers[6]["locals"]}["total"] == "6"
    assert [(one["text"], one["line"], one["now"]) for one in answers[7]["values"]] == [("6", 9, True)]
    assert answers[8]["place"]["line"] == 9
    assert [(one["breakpoint"], one["place"]["line"]) for one in answers[11:13]] == [(1, 4), (2, 6)]
    assert [(one["breakpoint"], one["reason"]) for one in answers[13:16]] == [
        (1, "breakpoint"), (None, "start of recording"), (None, "start of recording"),
    ]  # fmt: skip
    assert [one["number"] for one in answers[-1]["breakpoints"]] == [2]


def test_a_failing_command_is_told_and_the_session_goes_on(env: dict[str, str]) -> None:
    commands = ["p nosuch", "foo", "n x", "p a.b()", "goto 99999", "break x.py:1", "delete 7", "up", "history", "n"]
    answers = steps(env, *commands)
    assert [one["answer"] for one in answers] == ["stop", *["error"] * 9, "stop"]
    assert all(one["error"]["slug"] and one["error"]["message"] for one in answers[1:-1])
    assert ask(env, "step", "last", stdin="foo\nn\n").returncode == 0
    assert ask(env, "step", "last", stdin="n\nfoo\n").returncode == 2
    assert ask(env, "step", "last", stdin="q\nfoo\n").returncode == 0


def test_at_a_place_and_at_a_cause_that_nobody_can_say(env: dict[str, str]) -> None:
    assert places(steps(env, at="orders.py:6")) == [("orders", 6)]
    assert places(steps(env, at="find")) == [("inventory", 4)]
    address = steps(env, at="raise")[0]["address"]
    assert places(steps(env, at=address)) == [("inventory", 4)]


def test_text_in_a_pipe_has_marks_values_and_no_escapes(env: dict[str, str]) -> None:
    done = ask(env, "step", "last", "--at", "region_for", stdin="n\nn\n?\nspans\nlist 3\ngaps\n")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert re.search(r"^ ▶    6   +region = f", done.stdout, re.M)
    assert re.search(r'^      5 ·  +zone = ZONES\.get\(country, ""\) +zone = \'\'$', done.stdout, re.M)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "none: all that ran in recorded code is here" in done.stdout


class Terminal:
    """`aftertrace step` in a terminal of its own."""

    def __init__(self, env: dict[str, str], *words: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests may ignore it
            os.execve(sys.executable, [*COMMAND, "step", *words], {**env, "TERM": "xterm", "COLUMNS": "100"})
        self.seen = ""

    def until(self, text: str, seconds: float = 20) -> str:
        """What it wrote up to a text."""
        end = time.monotonic() + seconds
        while text not in self.seen and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode()
                except OSError:
                    break
        assert text in self.seen, self.seen
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def ended(self) -> int:
        for _ in range(200):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    time.sleep(0.05)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        raise AssertionError("it did not end")


PROMPT = "(step) "


def test_a_session_at_a_terminal(env: dict[str, str]) -> None:
    terminal = Terminal(env, "last", "--at", "region_for")
    opening = terminal.until(PROMPT)
    assert "\x1b[" in opening  # colours
    assert "region_for" in opening
    terminal.type("next\n")
    assert "zone" in terminal.until(PROMPT)
    terminal.type("\n")  # repeats
    assert re.search(r"▶ +7", terminal.until(PROMPT))
    terminal.type("half a line")
    terminal.until("half a line")
    time.sleep(0.3)  # CPython's line editing misses a signal between a key and its wait for the next one
    terminal.type("\x03")  # Ctrl-C cancels it
    terminal.until(PROMPT)
    terminal.type("p zo\t\n")  # completed: zone
    assert "''" in terminal.until(PROMPT)
    terminal.type("\x1b[A\n")  # the line before, from history
    assert "''" in terminal.until(PROMPT)
    terminal.type("nonsense\n")
    assert "There is no command 'nonsense'" in terminal.until(PROMPT)
    terminal.type("\x04")  # Ctrl-D
    assert terminal.ended() == 0


def test_an_answer_of_another_version_is_no_traceback(env: dict[str, str]) -> None:
    with pytest.raises(Unavailable):
        put({"traces": [{"unknown": 1}]}, ls.render, as_json=False)


def test_the_commands_need_no_server_parts() -> None:
    script = "import sys; from aftertrace.cli import ls, show, step\n"
    script += "heavy = {'rich', 'starlette', 'uvicorn', 'chdb', 'clickhouse_connect', 'pyarrow', 'google', 'httpx'}\n"
    script += "print(sorted(heavy & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_no_colour_at_a_terminal_when_not_wanted(env: dict[str, str]) -> None:
    terminal = Terminal({**env, "NO_COLOR": "1"}, "last")
    assert "\x1b[3" not in terminal.until(PROMPT)
    terminal.type("quit\n")
    assert terminal.ended() == 0
