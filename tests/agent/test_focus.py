"""The second failure is recorded in full: what took part in the first is at lines, in all processes of its service."""

import subprocess
import sys

from agent_parts import COMMAND

from aftertrace.agent import focus
from aftertrace.agent.part import Part
from aftertrace.reconstruct import build
from aftertrace.reconstruct.execution import StepKind
from aftertrace.wire import handover
from aftertrace.wire.definitions import CodeDefinition
from aftertrace.wire.handover import Focus, Report, Status, Usage

PROGRAM = """
import sys, time
from aftertrace import _native
def charge(amount):
    cents = amount * 100
    if cents > 500:
        raise ValueError("too much")
    return cents
def pay(amount):
    total = charge(amount)
    return total
def failed():
    with _native.Span("POST /pay", 2, None) as span:
        token = _native.attach(span)
        try:
            pay(7)
        except ValueError as error:
            span.record_exception(error)
            span.set_status(2)
        _native.detach(token)
        print(f"{span.trace_id:032x}", flush=True)
def level(name):
    return {qualname: level for _, qualname, _, level, _, _ in _native.hot(100)}.get(name)
def until(what):
    end = time.monotonic() + 60
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
pay(1)
for function in (charge, pay):
    _native.set_code_level(function.__code__, 1)
if sys.argv[1] == "first":
    failed()
until(lambda: level("charge") == level("pay") == 2)
failed()
input()
"""


LAST = PROGRAM.splitlines().index("def failed():")


def start(folder, agent, role):
    (folder / "app.py").write_text(PROGRAM)
    options = ["--level", "auto", "--service", "pay", "--agent-socket", str(agent.socket), "--root", str(folder)]
    command = [*COMMAND, "run", *options, "--", sys.executable, str(folder / "app.py"), role]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)


def lines_of(server, trace):
    """Lines of charge() and pay() that the kept request ran, in the order of the steps."""
    execution = build.build(server.kept(trace))
    return [step.line for step in execution.steps if step.kind is StepKind.LINE and step.line < LAST]


def test_the_second_failure_is_recorded_in_full_in_all_processes_of_the_service(agent, server, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    first, other = start(folder, agent, "first"), start(folder, agent, "other")
    before, after = (first.stdout.readline().strip() for _ in range(2))
    elsewhere = other.stdout.readline().strip()
    full = [PROGRAM.splitlines().index(line) + 1 for line in ("    total = charge(amount)", "    cents = amount * 100")]
    full += [full[1] + 1, full[1] + 2]
    assert [lines_of(server, trace) for trace in (before, after, elsewhere)] == [[], full, full]
    for process in (first, other):
        process.communicate("\n", timeout=20)


def part(service, *lines, needed=("/app.py",)):
    """A part of a kept trace with functions at these lines of two files."""
    made = object.__new__(Part)
    codes = [CodeDefinition(n, 1 + n % 2, "f", "f", line, 0, 0, 0, 0, (), b"") for n, line in enumerate(lines)]
    made.process = type("Process", (), {"ring": type("Ring", (), {"service": service})})
    made.definitions = type("Found", (), {"codes": dict(enumerate(codes)), "files": {1: "/app.py", 2: "/lib.py"}})
    made.needed = list(needed)
    return made


def test_what_was_told_is_not_told_again_and_new_processes_are_told_all():
    focuses = focus.Focuses()
    focuses.took_part(part("pay", 10, 20, 30))
    assert list(focuses.fresh()) == [("pay", Focus((("/app.py", 10), ("/app.py", 30)), focus.SECONDS))]
    focuses.took_part(part("pay", 10, 20, 30, 40, 50))
    focuses.took_part(part("cart", 10))
    told = dict(focuses.fresh())
    assert (told["pay"].places, told["cart"].places) == ((("/app.py", 50),), (("/app.py", 10),))
    (late,) = focuses.of("pay")
    assert {line for _, line in late.places} == {10, 30, 50}
    assert 0 < late.seconds <= focus.SECONDS
    assert focuses.of("nobody") == []


def test_a_service_that_fails_everywhere_is_remembered_within_bounds():
    focuses = focus.Focuses()
    for start_line in range(0, 20_000, 1000):
        focuses.took_part(part("pay", *range(start_line, start_line + 1000), needed=("/app.py", "/lib.py")))
    told = [message for _, message in focuses.fresh()]
    assert all(len(message.places) <= 1000 for message in told)
    assert sum(len(message.places) for message in focuses.of("pay")) == focus._MOST_PLACES


def test_messages_of_focus_and_reports_arrive_as_they_were_sent():
    for message in (
        Focus((("/app.py", 3), ("/\udcff.py", 4)), 60.0),
        Report(10.0),
        Usage({"budget": 0.02}, (("/a.py", "f", 1, 2, 3.5, 0.25),), (("/a.py", "g", 2, 7, ""),)),
        Status(watch=True),
    ):
        assert handover.decode(handover.encode(message).rstrip()) == message
