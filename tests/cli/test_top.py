"""`aftertrace top`: its table, its JSON, and the live view in a real terminal, with real processes and a real agent."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.show import top
from aftertrace.show.console import Console
from aftertrace.show.top import Chosen
from aftertrace.show.usage import History, View

from .watched import COMMAND, Watched, wait_for, watching

_STYLE = re.compile("\x1b\\[[0-9;]*m")


class Screen:
    """`aftertrace top` in a terminal of its own, as an emulator shows it."""

    def __init__(self, watched: Watched, columns: int, lines: int) -> None:
        self.ours, self.its = os.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.its)
        self.shown = pyte.Screen(columns, lines)
        self.written = b""
        self._stream = pyte.ByteStream(self.shown)
        env = watched.environment(TERM="xterm-256color")
        env.pop("COLUMNS")
        self.process = subprocess.Popen(
            [*COMMAND, "top"],
            env=env,
            stdin=self.its,
            stdout=self.its,
            stderr=self.its,
            preexec_fn=self._own_terminal,  # noqa: PLW1509  # no threads here
        )

    def _own_terminal(self) -> None:
        os.setsid()
        fcntl.ioctl(self.its, termios.TIOCSCTTY, 0)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def read(self) -> None:
        while select.select([self.ours], [], [], 0.02)[0]:
            data = os.read(self.ours, 1 << 16)
            self.written += data
            self._stream.feed(data)

    def text(self) -> str:
        self.read()
        return "\n".join(line.rstrip() for line in self.shown.display)

    def until(self, what: Callable[[str], object]) -> str:
        end = time.monotonic() + 30
        while not what(text := self.text()):
            assert time.monotonic() < end, text
        return text

    def ended(self) -> int:
        self.until(lambda _: self.process.poll() is not None)  # who writes to a terminal waits for its reader
        self.read()
        return self.process.returncode

    def is_as_it_was(self) -> bool:
        last = [self.written.rfind(word) for word in (b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h")]
        return last[0] < last[1] and last[2] < last[3] and termios.tcgetattr(self.its) == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)
        os.close(self.ours)
        os.close(self.its)


type Open = Callable[[int, int], Screen]


@pytest.fixture
def opened(watched: Watched) -> Iterator[Open]:
    screens: list[Screen] = []

    def start(columns: int, lines: int) -> Screen:
        screens.append(Screen(watched, columns, lines))
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def chosen(text: str) -> str:
    return "".join(re.findall(r"^> (\S+)", text, re.M))


# -- in a terminal ----------------------------------------------------------------------------------------------------


def test_a_small_terminal_shows_processes_and_the_functions_of_one(opened: Open) -> None:
    screen = opened(80, 24)
    row = r"^calls +[<\d.]+ % +[\d,.]+  send_mail +\S+/mail\.py:\d+$"
    text = screen.until(lambda text: re.search(r"^  orders .* auto .* %", text, re.M) and re.search(row, text, re.M))
    assert text.startswith("aftertrace ")
    assert re.search(r"^memory .* remembered, [\d,]+ requests · [\d,]+ kept", text, re.M)
    assert re.search(r"^  SERVICE +PID  LEVEL  BUDGET USED +SPANS +RING +LOST", text, re.M)
    assert re.search(r"^> mail +\d+  calls  no limit", text, re.M)
    screen.press("j")
    text = screen.until(lambda text: chosen(text) == "orders" and re.search(r"^shed +was [\d.]+ %", text, re.M))
    assert re.search(r"^  mail ", text, re.M)
    assert re.search(r"^> orders +\d+  auto   [█░]{4} +[<\d]+ %", text, re.M)
    assert "2 % allowed" in text
    shed = next(line for line, content in enumerate(screen.shown.display) if content.startswith("shed "))
    assert screen.shown.buffer[shed][0].bold
    screen.press("q")
    assert screen.ended() == 0
    assert screen.is_as_it_was()


def test_keys_and_a_window_that_changes(opened: Open) -> None:
    screen = opened(80, 24)
    screen.until(lambda text: chosen(text) == "mail")
    screen.press("\x1b[B")
    screen.until(lambda text: chosen(text) == "orders")
    screen.press("\x1bOA\x1b[A")
    screen.until(lambda text: chosen(text) == "mail")
    screen.press("s")
    screen.until(lambda text: "now by calls" in text)
    screen.press("ss?")
    text = screen.until(lambda text: "choose a process" in text)
    assert "Costs are counted, not timed" in text
    screen.press("?")
    screen.until(lambda text: "now by cost" in text)
    screen.shown.resize(50, 160)
    screen.resize(160, 50)
    text = screen.until(lambda text: "AT LINES" in text)
    assert text.count("SERVICE") == 1
    assert screen.shown.display[49].startswith("q end")
    screen.shown.resize(8, 30)
    screen.resize(30, 8)
    screen.until(lambda text: "CALLS/s" not in text and chosen(text) == "mail")
    screen.press("\x03")
    assert screen.ended() == 130
    assert screen.is_as_it_was()


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(opened: Open) -> None:
    screen = opened(80, 24)
    screen.until(lambda text: chosen(text) == "mail")
    screen.press("\x1a")
    _, status = os.waitpid(screen.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    screen.read()
    assert screen.is_as_it_was()
    screen.written = b""
    screen.process.send_signal(signal.SIGCONT)
    screen.until(lambda _: b"\x1b[?1049h" in screen.written and b"SERVICE" in screen.written)
    screen.process.send_signal(signal.SIGTERM)
    assert screen.ended() == 143
    assert screen.is_as_it_was()


def test_an_agent_that_ends_is_told_and_waited_for(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        screen = Screen(watched, 100, 24)
        try:
            screen.until(lambda text: chosen(text) == "mail")
            assert watched.agent is not None
            watched.agent.kill()
            text = screen.until(lambda text: "No agent listens at" in text)
            assert chosen(text) == "mail"  # what was known last stays
            watched.start_agent()
            screen.until(lambda text: "No agent listens at" not in text and re.search(r"^. orders ", text, re.M))
            screen.press("q")
            assert screen.ended() == 0
        finally:
            screen.close()


# -- elsewhere


def test_no_terminal_one_table(watched: Watched) -> None:
    done = watched.run("top")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    head = done.stdout.splitlines()[3]
    names = "SERVICE PID LEVEL BUDGET USED OF SPANS CPU s AT LINES AT CALLS AT NONE RING LOST CALLS/s"
    assert " ".join(head.split()) == names
    assert re.search(r"^  orders +\d+  auto   [█░]{10} +[<\d]+ % +2 % ", done.stdout, re.M)
    assert re.search(r"^orders \d+: code costs .* of its CPU time.*; 2 % allowed", done.stdout, re.M)
    assert top.COUNTED in done.stdout


def test_json_has_all_that_is_known_of_one_service(watched: Watched) -> None:
    found = wait_for(lambda: _with_shed(watched.top("--service", "orders")))
    (load,) = found["processes"]
    assert (load["service"], load["level"], load["budget"]) == ("orders", "auto", 0.02)
    assert load["connected"] is True
    assert load["reported_ago_s"] >= 0
    assert load["budget_used"] == pytest.approx((load["code_share"] + load["exceptions_share"]) / 0.02)
    assert load["ring_horizon_s"] > 0
    assert load["calls_per_s"] >= 0
    fib = next(one for one in load["functions"] if one["name"] == "fib")
    assert fib["path"] == str(watched.orders)
    assert fib["level"] == 0
    assert fib["share"] > 0
    assert {"memory", "spool", "counts", "idle", "socket"} <= found.keys()


def _with_shed(found: dict[str, Any]) -> dict[str, Any] | None:
    functions = found["processes"][0]["functions"]
    return found if any(one["name"] == "fib" and one["level"] == 0 for one in functions) else None


def test_without_an_agent(tmp_path: Path, watched: Watched) -> None:
    done = watched.run("top", "--json", "--socket", str(tmp_path / "none"))
    assert done.returncode == 5
    assert json.loads(done.stdout)["error"]["slug"] == "no-agent"


# -- whatever a report says -------------------------------------------------------------------------------------------

_JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), st.lists(st.integers(), max_size=3)
)
_NAMES = (
    "budget",
    "cpu_s",
    "code_share",
    "exceptions_share",
    "spans_share",
    "at_lines",
    "exceptions",
    "calls",
    "ring_bytes",
)
_ROW = st.lists(_JUNK, min_size=4, max_size=7)
_USAGE = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "usage": st.dictionaries(st.sampled_from(_NAMES), _JUNK),
            "hot": st.lists(_ROW, max_size=6),
            "outside": st.lists(_ROW, max_size=3),
        }
    ),
)


def process(uid: str, usage: object, service: str = "orders", **more: Any) -> dict[str, Any]:
    known = {"service": service, "pid": 7, "process_uid": uid, "level": "lines", "connected": True, "usage": usage}
    return {**known, "reported_s": 1.0 if usage else None, "read_bytes": 10**9, "lost_bytes": 5 << 20, **more}


def status(*processes: dict[str, Any], uptime: float = 2.0, **more: Any) -> dict[str, Any]:
    return {
        "agent": "1",
        "pid": 1,
        "uptime_s": uptime,
        "processes": list(processes),
        "idle": [],
        "memory": {"limit": 1 << 28, "bytes": 1 << 20, "traces": 3, "horizon_s": 4.0},
        "spool": {"waiting": 0, "files": 0, "bytes": 0},
        "counts": {"kept": 1, "dropped": 2},
        **more,
    }


@settings(max_examples=60)
@given(st.lists(_USAGE, min_size=2, max_size=2), st.text(max_size=30), st.integers(1, 200), st.integers(1, 60))
def test_no_report_breaks_the_screen(usages: list[object], service: str, width: int, height: int) -> None:
    history = History()
    for uptime in (2.0, 3.5):
        both = [process(str(number), usage, service * number) for number, usage in enumerate(usages)]
        view = history.add(status(*both, uptime=uptime))
    json.loads(json.dumps(view.to_json(), allow_nan=False))
    shown = Chosen().move(view, 1).next_sort()
    for lines in (
        top.screen(view, shown, Console(width, colour=True), height, "the agent is gone"),
        top.screen(view, Chosen(help=True), Console(width, colour=True), height),
    ):
        assert len(lines) <= height
        plain = [_STYLE.sub("", line) for line in lines]
        assert all(top.columns(line) <= width for line in plain)
        assert all(line.isprintable() for line in plain)


def test_the_chosen_process_is_always_among_those_shown() -> None:
    many = [process(f"{number:02}", None, f"service{number:02}") for number in range(40)]
    view = History().add(status(*many))
    shown = Chosen()
    for _ in range(39):
        shown = shown.move(view, 1)
        text = "\n".join(top.screen(view, shown, Console(80), 24))
        assert f"> service{shown.uid}" in text
    assert "more" in text


def test_a_small_window_shows_the_chosen_process_whatever_the_agent_has_to_tell() -> None:
    spool = {"waiting": 35, "files": 0, "bytes": 168 << 10}
    view = History().add(status(process("a", None), spool=spool, counts={"kept": 41, "dropped": 2}))
    lines = top.screen(view, Chosen(), Console(30), 8, "the agent is gone")
    assert len(lines) == 8
    assert [line for line in lines if line.startswith("> orders")]
    assert "the agent is gone" in lines


def views(*statuses: dict[str, Any]) -> View:
    history = History()
    return [history.add(one) for one in statuses][-1]


def test_rates_are_of_what_changed_between_two_looks() -> None:
    first = {"usage": {"calls": 100, "cpu_s": 1.0, "ring_bytes": 1000}, "hot": [["/a.py", "f", 1, 2, 80.0, 0.1]]}
    then = {"usage": {"calls": 300, "cpu_s": 1.5, "ring_bytes": 1000}, "hot": [["/a.py", "f", 1, 2, 80.0, 0.1]]}
    (load,) = views(
        status(process("a", first, read_bytes=0, lost_bytes=0, reported_s=2.0), uptime=2.5),
        status(process("a", then, read_bytes=600, lost_bytes=1, reported_s=4.0), uptime=4.5),
    ).loads
    assert load.calls_per_s == 100  # 200 calls in 2 s between the reports
    assert load.ring_horizon_s == pytest.approx(1000 / 300)
    assert load.functions[0].calls_per_s == 80 * 0.25  # a quarter of a CPU
    assert load.losing


def test_processes_that_say_nothing() -> None:
    quiet = process("a", {"usage": {"budget": 0.02}, "hot": [], "outside": []}, reported_s=1.0)
    gone = process("b", None, "gone", connected=False)
    view = views(status(quiet, gone, uptime=60.0, idle=[{"service": "off", "pid": 9}]))
    text = "\n".join(top.table(view, Console(120)))
    assert "no report for 59 s" in text
    assert "gone 7: not connected" in text
    assert re.search(r"^  off +9 +off$", text, re.M)
    assert top.table(views(status()), Console(120))[3].startswith("No process is recorded.")
