"""What stands around calls (around.c, template.c): a call is as without it, whatever begin, end and the program do."""

from __future__ import annotations

import asyncio
import copy
import cProfile
import gc
import inspect
import pickle
import pstats
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from typing import Any
from unittest import mock

import pytest
from around_parts import BASE, STATEMENT, Calls, Failures, instead, nothing, spanned, within_a_span, work

from aftertrace._native import Around, Known, Span, attach, call_through, current

CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, 2, 3, 4), {}),
    ((), {"a": 1}),
    ((1,), {"key": 5, "other": 6}),
    ((), {"b": 1, "a": 2, "z": 3}),
]


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_arguments_and_results_are_those_of_the_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    seen: Calls = []
    call = Around(
        work, "test", nothing, lambda *given: seen.append(given) or "state", lambda *ended: seen.append(ended)
    )
    wrapped = instead(work, call)
    assert wrapped(*args, **kwargs) == call(*args, **kwargs) == work(*args, **kwargs)
    assert seen == [(args, kwargs), ("state", work(*args, **kwargs), None)] * 2
    with within_a_span():
        assert instead(work, spanned(work))(*args, **kwargs) == work(*args, **kwargs)


@pytest.mark.parametrize("spans", [False, True])
def test_what_the_call_raises_comes_as_it_is(spans: bool) -> None:
    error = KeyError("its own")

    def fails() -> None:
        raise error

    ended: Calls = []
    call = Around(fails, "test", nothing, lambda *_: STATEMENT, lambda *given: ended.append(given), spans=spans)
    with within_a_span(), pytest.raises(KeyError) as caught:
        instead(fails, call)()
    assert caught.value is error
    assert error.__context__ is None
    assert [frame.name for frame in caught.traceback if frame.name != "fails"] == [caught.traceback[0].name]
    assert ended[0][1:] == (None, error)


@pytest.mark.parametrize("where", ["begin", "end", "end with an error"])
@pytest.mark.parametrize("spans", [False, True])
def test_what_begin_and_end_raise_is_counted_and_the_call_is_as_without_them(where: str, spans: bool) -> None:
    ours, failures = ValueError("ours"), Failures()

    def fails(*_: Any) -> None:
        raise ours

    def original(x: int) -> int:
        if where == "end with an error":
            raise LookupError(x)
        return x

    begin = fails if where == "begin" else lambda *_: STATEMENT
    call = instead(original, Around(original, "test", failures, begin, fails, spans=spans))
    with within_a_span() as above:
        if where == "end with an error":
            with pytest.raises(LookupError) as caught:
                call(5)
            assert caught.value.__context__ is None
        else:
            assert call(5) == 5
        assert current() is above
    whole = where == "end" and spans  # of a call with a span, end() hears of errors only
    assert failures.seen == ([] if whole else [("test", ours)])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("spans", [False, True])
def test_an_interrupt_in_begin_or_end_is_no_failure_of_ours(kind: type[BaseException], spans: bool) -> None:
    failures, ran = Failures(), []

    def interrupted(*_: Any) -> None:
        raise kind

    def original() -> None:
        ran.append(1)
        raise LookupError

    with within_a_span() as above:
        with pytest.raises(kind):
            Around(original, "test", failures, interrupted, nothing, spans=spans)()
        assert not ran
        with pytest.raises(kind) as caught:
            Around(original, "test", failures, lambda *_: STATEMENT, interrupted, spans=spans)()
        assert type(caught.value.__context__) is LookupError
        assert current() is above
    assert failures.seen == []


def test_a_counter_that_raises_is_what_was_asked_for() -> None:
    def strict(_: str, error: Exception) -> None:
        raise error

    def fails(*_: Any) -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        Around(work, "test", strict, fails, nothing)(1)


@pytest.mark.parametrize("answer", [None, 5, "x", (STATEMENT,), (STATEMENT, 5), (5, BASE), [STATEMENT]])
def test_begin_may_answer_anything(answer: Any) -> None:
    with within_a_span():
        assert spanned(work, begin=lambda *_: answer)(1) == work(1)


def test_the_span_is_current_during_the_call_and_only_then() -> None:
    def look() -> Span | None:
        return current()

    with within_a_span() as above:
        inside = spanned(look)()
        assert (inside.name, inside.kind, inside.parent_id) == ("SELECT", 3, above.span_id)
        assert not inside.is_recording()
        assert spanned(look, current=False)() is above
        assert current() is above
    assert spanned(look, begin=lambda *_: pytest.fail("asked outside of any span"))() is None


def test_a_detached_span_and_a_swapped_context_end_well() -> None:
    """The program may end and detach what it finds there."""

    def meddles() -> None:
        span = current()
        span.end()
        attach(Span("another", 1, span))

    with within_a_span():
        spanned(meddles)()


def test_recursion_ends_as_recursion_does() -> None:
    def deeper(n: int) -> int:
        return deeper_wrapped(n + 1)

    deeper_wrapped = instead(deeper, Around(deeper, "test", nothing, lambda *_: 1, nothing))
    for _ in range(3):
        with pytest.raises(RecursionError):
            deeper_wrapped(0)

    def bounded(n: int) -> int:
        return 0 if n == 0 else 1 + bounded_wrapped(n - 1)

    bounded_wrapped = instead(bounded, spanned(bounded))
    with within_a_span() as above:
        assert bounded_wrapped(100) == 100
        assert current() is above


def test_nothing_is_kept_of_calls() -> None:
    class Thing:
        pass

    def original(thing: Any, fail: bool) -> Any:
        if fail:
            raise LookupError(thing)
        return thing

    wrapped = [
        instead(original, Around(original, "test", nothing, lambda *given: given, nothing)),
        instead(original, spanned(original)),
    ]
    gone = []
    with within_a_span():
        for call in wrapped:
            for fail in (False, True):
                thing = Thing()
                gone.append(weakref.ref(thing))
                with suppress(LookupError):
                    call(thing, fail=fail)
                with suppress(LookupError):
                    call(thing, fail)
                del thing
    assert [one() for one in gone] == [None] * 4


GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [(("text",), {}), ((), {}), ((), {"x": 5})]


@pytest.mark.parametrize("fail", [False, True])
def test_no_reference_is_lost_or_left(fail: bool) -> None:
    shared = ("shared", object())
    none, failures = sys.getrefcount(None), Failures()

    def original(*_: Any, **__: Any) -> Any:
        if fail:
            raise LookupError
        return shared

    calls = [
        Around(original, "test", failures, lambda *_: shared, nothing),
        spanned(original),
        spanned(original, known=Known(lambda *_: STATEMENT), base=BASE),
        Around(original, "test", failures, None, None, extra=shared),
    ]

    def run(rounds: int) -> list[int]:
        for _ in range(rounds):
            for call in calls:
                for args, kwargs in GIVEN:
                    with suppress(LookupError):
                        call(shared, *args, **kwargs)
        return [sys.getrefcount(one) for one in (shared, STATEMENT, BASE, *calls)]

    with within_a_span():
        assert run(1) == run(9000)  # 108 000 calls
    assert abs(sys.getrefcount(None) - none) < 1000


def test_begin_may_change_the_keywords_that_the_call_gets() -> None:
    def begin(_: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kwargs["key"] = "ours"

    assert Around(work, "test", nothing, begin, nothing)(1) == (1, 2, (), "ours", {})
    kwargs = {"key": "the program's"}
    assert Around(work, "test", nothing, begin, nothing)(1, **kwargs) == (1, 2, (), "ours", {})
    assert kwargs == {"key": "the program's"}


def test_in_threads_each_call_has_its_own_span() -> None:
    def look(number: int) -> tuple[int, int, int]:
        span = current()
        return number, span.parent_id, span.span_id

    call, results, barrier = instead(look, spanned(look)), [], threading.Barrier(8)

    def run(number: int) -> None:
        barrier.wait()
        with within_a_span() as above:
            for _ in range(2000):
                result = call(number)
                assert result[:2] == (number, above.span_id)
                results.append(result[2])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 16000


def test_a_wrapper_that_goes_away_during_its_call() -> None:
    space: dict[str, Any] = {}

    def original() -> str:
        space.clear()
        gc.collect()
        return "still here"

    space["call"] = instead(original, spanned(original))
    with within_a_span():
        assert space["call"]() == "still here"


def test_a_cycle_of_them_is_collected() -> None:
    class Owner:
        call: Around

        def begin(self, *_: Any) -> None: ...

    owner = Owner()
    owner.call = Around(work, "test", nothing, owner.begin, nothing)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_a_function_that_is_called_through_is_a_function_as_others() -> None:
    wrapped = instead(work, spanned(work))
    assert inspect.signature(wrapped) == inspect.signature(work)
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == ("work", "Its words.", work)  # type: ignore[attr-defined]
    assert copy.deepcopy(wrapped) is wrapped
    with mock.patch.object(sys.modules[work.__module__], "work", wrapped):
        assert pickle.loads(pickle.dumps(wrapped)) is wrapped  # by its name, as any function
    assert type(wrapped) is type(work)
    with pytest.raises(TypeError, match=r"work\(\) missing 1 required positional argument: 'a'"):
        wrapped()


def test_it_binds_as_a_method_and_subclasses_override_it() -> None:
    class Cursor:
        def execute(self, text: str) -> tuple[str, str, str]:
            return type(self).__name__, text, current().name

    Cursor.execute = instead(Cursor.execute, spanned(Cursor.execute))  # type: ignore[method-assign]

    class Own(Cursor):
        def execute(self, text: str) -> tuple[str, str, str]:
            return super().execute(text + "!")

    with within_a_span():
        assert Cursor().execute("x") == ("Cursor", "x", "SELECT")
        assert Own().execute("x") == ("Own", "x!", "SELECT")
        bound = Own().execute
        assert bound("y") == ("Own", "y!", "SELECT")
        with mock.patch.object(Cursor, "execute", autospec=True, return_value=5) as replaced:
            assert Cursor().execute("z") == 5
            assert replaced.call_count == 1
        assert Cursor().execute("x")[2] == "SELECT"


def test_a_changed_closure_or_code_is_the_program_s_own() -> None:
    wrapped = instead(work, spanned(work))
    wrapped.__closure__[0].cell_contents = lambda *_: "something else"  # type: ignore[index]
    assert wrapped(1) == "something else"
    del wrapped.__closure__[0].cell_contents  # type: ignore[index]
    with pytest.raises(NameError):
        wrapped(1)
    plain = call_through(lambda x: x + 1)
    assert plain(1) == 2
    with pytest.raises(TypeError):
        call_through(len)  # type: ignore[type-var]


def test_tracers_and_profilers_see_the_call() -> None:
    wrapped, seen = instead(work, spanned(work)), []

    def trace(frame: Any, event: str, _: Any) -> Any:
        seen.append((event, frame.f_code.co_name))

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        wrapped(1)
    finally:
        sys.settrace(before)
    assert ("call", "work") in seen
    assert ("call", "wrapper") not in seen
    profile = cProfile.Profile()
    profile.runcall(wrapped, 1)
    assert any(name == "work" for _, _, name in pstats.Stats(profile).stats)  # type: ignore[attr-defined]


def alone(source: str) -> None:
    """Runs it in a process of its own, which ends well."""
    done = subprocess.run(
        [sys.executable, "-c", source + "\nprint('well')"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", "")


def test_another_interpreter_in_the_process_is_left_alone() -> None:
    """It does not get the extension; its sqlite3 is as without us, while the first one's goes on being told."""
    alone('''
import sqlite3, sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
from aftertrace import _native
from aftertrace.record import boundaries
_native.start(_native.LEVEL_SPANS, ring_bytes=1 << 20, defs_bytes=1 << 16, roots=[], libraries=[])
boundaries.install()
_native.attach(_native.Span("above", 2))
ours = sqlite3.connect(":memory:")
assert type(ours) is not sqlite3.Connection
other = interpreters.create()
for _ in range(3):
    failed = interpreters.run_string(other, """if True:
        import sqlite3
        theirs = sqlite3.connect(":memory:")
        assert type(theirs) is sqlite3.Connection
        assert theirs.execute("select 6").fetchone() == (6,)
        try:
            import aftertrace._native
        except ImportError:
            pass
        else:
            raise AssertionError("it was loaded")
    """)
    assert failed is None, failed
    assert ours.execute("select 5").fetchone() == (5,)
interpreters.destroy(other)
assert ours.execute("select 5").fetchone() == (5,)
''')


def test_keys_of_a_context_that_change_it_while_they_are_compared_do_no_harm() -> None:
    alone("""
import contextvars, sys, types
from aftertrace import _native
var = contextvars.ContextVar("current_context", default={})
module = types.ModuleType("opentelemetry.context")
module._RUNTIME_CONTEXT = object()
sys.modules["opentelemetry.context"] = module
looked = []
def look(runtime):
    module._RUNTIME_CONTEXT = object()  # the one that we were given goes
    looked.append(1)
    return var, ("suppress " + str(len(looked)), "other")
def ask():
    return "other" in {key for key in var.get() if type(key) is str}
_native.watch_suppression(contextvars.ContextVar("hushed", default=False), look, ask)
compared = []
class Key:
    def __hash__(self):
        return hash("other")
    def __eq__(self, other):
        compared.append(1)
        var.set({"plain": 1})  # the context in which this one is goes
        _native.suppressed()  # and so do the names that are looked for
        return False
for _ in range(200):
    for context, suppresses in [({Key(): 1}, False), ({"plain": 1}, False), ({"other": 1}, True)]:
        var.set(context)
        del context
        assert _native.suppressed() is suppresses
assert compared and looked
""")


@pytest.mark.parametrize(
    "wrong", [{"known": 5}, {"base": 5}, {"holder": 5}, {"told": [1]}, {"known": BASE}, {"base": Known(nothing)}]
)
def test_an_around_of_wrong_parts_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Around(work, "test", nothing, nothing, nothing, **wrong)
