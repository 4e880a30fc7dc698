"""logging: each record that reaches handlers is recorded once, nothing of it is run, and its handlers see no change."""

from __future__ import annotations

import textwrap

import pytest

from aftertrace.model import ValueKind
from aftertrace.record.boundaries.logs import severity

from .conftest import Runner, plain


@pytest.mark.parametrize(
    ("level", "number"), [(-5, 1), (0, 1), (5, 1), (10, 5), (15, 5), (20, 9), (30, 13), (40, 17), (50, 21), (99, 21)]
)
def test_severities(level: int, number: int):
    assert severity(level) == number


def test_each_record_once_and_unformatted(runner: Runner):
    ran = runner.good(
        """
        import enum, logging, logging.handlers, queue, sys, threading, time
        from aftertrace import _native
        class Level(enum.IntEnum): LOUD = 35
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="")
        logging.getLogger().handlers[0].stream = open("/dev/null", "w")
        log = logging.getLogger("orders.cart")
        log.debug("below the level")
        log.info("order %s has %d lines", "A-17", 3)
        log.log(Level.LOUD, {"a": 1})
        try: 1 / 0
        except ZeroDivisionError: log.exception("failed")
        log.error("given", exc_info=KeyError("k"))
        log.error("none", exc_info=False)
        off = logging.getLogger("off"); off.disabled = True; off.error("disabled")
        quiet = logging.getLogger("quiet"); quiet.addFilter(lambda record: False); quiet.error("filtered")
        silent = logging.getLogger("silent"); silent.propagate = False
        silent.addHandler(logging.NullHandler()); silent.warning("s")
        # through a queue, and back into a logger on another thread
        waiting = queue.Queue()
        sending = logging.getLogger("queued"); sending.propagate = False
        sending.addHandler(logging.handlers.QueueHandler(waiting))
        again = logging.getLogger("again")
        class Back(logging.Handler):
            def handle(self, record): again.handle(logging.makeLogRecord(vars(record)))
        listener = logging.handlers.QueueListener(waiting, Back()); listener.start()
        sending.error("over a %s", "queue")
        listener.stop()
        # from another process
        far = logging.makeLogRecord({"name": "far", "msg": "x", "levelno": 40, "process": 1, "thread": 2})
        logging.getLogger("far").handle(far)
        class Inner(logging.Handler):
            def emit(self, record): logging.getLogger("inner").warning("within a handler")
        outer = logging.getLogger("outer"); outer.addHandler(Inner()); outer.warning("outer")
        class Own(logging.Logger): pass
        logging.setLoggerClass(Own); logging.getLogger("own").warning("own class")
        logging.logThreads = False; log.warning("no thread")
        """
    )
    logs = [log.record for log in ran.recorded.logs]
    assert [(log.logger, log.severity, plain(log.message)) for log in logs if log.logger != "orders.cart"] == [
        ("silent", 13, "s"),
        ("queued", 17, "over a %s"),
        ("far", 17, "x"),
        ("outer", 13, "outer"),
        ("inner", 13, "within a handler"),
        ("own", 13, "own class"),
    ]
    cart = [log for log in logs if log.logger == "orders.cart"]
    assert [log.severity for log in cart] == [9, 13, 17, 17, 17, 13]
    assert (plain(cart[0].message), plain(cart[0].arguments)) == ("order %s has %d lines", ["A-17", 3])
    assert (cart[0].file, cart[0].function) == (str(runner.home / "program.py"), "<module>")
    assert cart[1].message.kind is ValueKind.MAPPING
    assert [log.exception.type for log in cart[2:5]] == ["ZeroDivisionError", "KeyError", "NoneType"]


def test_hostile_records(runner: Runner):
    """Counted in our process and compared with the bare one: nothing of the program's is run by us."""
    ran = runner.same(
        """
        import logging, sys
        calls = []
        class Hostile:
            def __getattribute__(self, name): calls.append(name); raise RuntimeError(name)
            def __str__(self): calls.append("str"); raise RuntimeError
            __repr__ = __bool__ = __len__ = __eq__ = __hash__ = __int__ = __str__
        class Number(int):
            def __floordiv__(self, other): calls.append("floordiv"); return 0
            __lt__ = __gt__ = __int__ = __index__ = __floordiv__
        class Record(logging.LogRecord):
            @property
            def msg(self): calls.append("msg"); return "m"
            @msg.setter
            def msg(self, value): pass
            def __getattribute__(self, name):
                if name in ("levelno", "args", "__dict__", "pathname"): calls.append(name)
                return super().__getattribute__(name)
        class Handler(logging.Handler):
            def emit(self, record): calls.append("emit")
        log = logging.getLogger("x"); log.propagate = False; log.addHandler(Handler())
        log.error(Hostile(), Hostile(), Hostile(), extra={"more": Hostile()})
        log.log(Number(40), "m")
        logging.setLogRecordFactory(Record); log.error("m %s", 1)
        logging.setLogRecordFactory(lambda *a, **k: type("Bare", (), {"levelno": 40, "name": "x"})()); log.error("m")
        record = logging.LogRecord("x", 40, "p", 1, "m", (), None); record.exc_info = Hostile(); log.handle(record)
        record = logging.LogRecord("x", 40, "p", 1, "m", (), None); vars(record).clear()
        try: log.handle(record)
        except AttributeError as error: print(error)
        logging.setLogRecordFactory(logging.LogRecord)
        class Raising(logging.Handler):
            def emit(self, record): raise LookupError("from a handler")
        log.addHandler(Raising())
        print(calls)
        log.error("x")
        """
    )
    assert len(ran.recorded.logs) == 6, [log.record for log in ran.recorded.logs]


def test_callers_are_found_as_without_us(runner: Runner):
    runner.same(
        textwrap.dedent("""
        import logging, inspect, sys, warnings
        class Intercept(logging.Handler):  # as loguru's documentation has it
            def emit(self, record):
                frame, depth = sys._getframe(1), 1
                while frame.f_code.co_filename == logging.__file__: frame = frame.f_back; depth += 1
                print(frame.f_code.co_name, frame.f_lineno, record.funcName, record.lineno, record.stack_info)
        logging.basicConfig(handlers=[Intercept()], level=0)
        logging.captureWarnings(True)
        def helper(): logging.getLogger("a").warning("x", stacklevel=2)
        def place():
            helper()
            logging.info("y", stack_info=True)
            warnings.warn("z", stacklevel=2)
        place()
        print(inspect.signature(logging.Logger.callHandlers), logging.Logger.callHandlers.__qualname__)
        """)
    )


def test_nothing_is_held(runner: Runner):
    runner.good(
        """
        import gc, logging, weakref
        class Thing: pass
        logging.getLogger().addHandler(logging.NullHandler())
        things = []
        for n in range(20):
            thing = Thing(); things.append(weakref.ref(thing))
            try: raise KeyError(thing)
            except KeyError: logging.getLogger("a").exception(thing, thing, extra={"thing": thing})
            del thing
        assert [thing() for thing in things] == [None] * 20
        """
    )
