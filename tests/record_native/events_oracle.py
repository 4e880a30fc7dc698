"""What Python callbacks on sys.monitoring see of a program: every event, with the frame's locals. Run as a script.

events_oracle.py PROGRAM TARGET writes a list of [kind, activation, parent's function, function, line, locals, value].
"""

import json
import runpy
import sys

program, target = sys.argv[1], sys.argv[2]
del sys.argv[1:3]
monitoring = sys.monitoring
events = monitoring.events
seen = []
numbers = {}  # of activations, by the frame's address
functions = {}


def plain(value, depth=3):
    if value is None or type(value) in {bool, int, str, float}:
        return value
    if type(value) in {list, tuple} and depth:
        return [plain(item, depth - 1) for item in value]
    if type(value) is dict and depth:
        return {str(plain(key, depth - 1)): plain(item, depth - 1) for key, item in value.items()}
    return "?"


def number(frame, *, new=False):
    if new or id(frame) not in numbers:
        numbers[id(frame)] = len(numbers) + len(seen) * 1000
    return numbers[id(frame)]


def note(kind, frame, value=None, line=0):
    back = frame.f_back
    while back is not None and back.f_code.co_filename != program:
        back = back.f_back
    held = {name: plain(item) for name, item in frame.f_locals.items()} if frame.f_code.co_flags & 2 else {}
    code = frame.f_code
    seen.append(
        [
            kind,
            number(frame, new=kind == "Start"),
            back.f_code.co_qualname if back else "",
            code.co_qualname,
            line or frame.f_lineno,
            held,
            value,
        ]
    )


def user(code):
    return code.co_filename == program


def on_start(code, offset):
    if user(code):
        note("Start", sys._getframe(1), line=code.co_firstlineno)


def on_line(code, line):
    if user(code):
        note("Line", sys._getframe(1), line=line)


def on_resume(code, offset):
    if user(code):
        note("Resume", sys._getframe(1))


def on_value(kind):
    def write(code, offset, value):
        if user(code):
            note(kind, sys._getframe(1), plain(value))

    return write


def on_exception(kind):
    def write(code, offset, exception):
        if user(code):
            note(kind, sys._getframe(1), type(exception).__name__)

    return write


CALLBACKS = {
    events.PY_START: on_start,
    events.LINE: on_line,
    events.PY_RESUME: on_resume,
    events.PY_RETURN: on_value("Return"),
    events.PY_YIELD: on_value("Yield"),
    events.PY_THROW: on_exception("Throw"),
    events.RAISE: on_exception("Raise"),
    events.RERAISE: on_exception("Reraise"),
    events.EXCEPTION_HANDLED: on_exception("Handled"),
    events.PY_UNWIND: on_exception("Unwind"),
}
monitoring.use_tool_id(3, "oracle")
for event, callback in CALLBACKS.items():
    monitoring.register_callback(3, event, callback)
wanted = 0
for event in CALLBACKS:
    wanted |= event
monitoring.set_events(3, wanted)
try:
    runpy.run_path(program, run_name="__main__")
finally:
    monitoring.set_events(3, 0)
    with open(target, "w") as file:
        json.dump(seen, file)
