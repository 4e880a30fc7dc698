"""The two halves of a call that is a span, for coroutines and generators: enter and leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from around_parts import Calls, spanned, within_a_span, work

from aftertrace._native import current


def test_the_two_halves() -> None:
    failed: Calls = []
    call = spanned(work, end=lambda *given: failed.append(given))
    assert call.enter((1,), {}) is None  # outside of any span
    with within_a_span() as above:
        state = call.enter((1,), {})
        assert current() is state[0]
        call.leave(state, None)
        assert (current(), failed) == (above, [])
        state = call.enter((1,), {})
        error = LookupError()
        call.leave(state, error)
        assert (current(), failed) == (above, [(state[0], None, error)])
        call.leave(state, None)  # twice is once
        state = spanned(work, current=False).enter((1,), {})
        assert (current(), state[1]) == (above, None)
        call.leave(state, None)


@pytest.mark.parametrize("given", [(), (1,), ((), {}, 1), ([], {}), ((), []), ((), None)])
def test_wrong_halves_are_told(given: tuple[Any, ...]) -> None:
    call = spanned(work)
    for act in (call.enter, call.leave):
        with pytest.raises(TypeError):
            act(*given)
    with pytest.raises(TypeError):
        call.leave((5, None), None)  # type: ignore[arg-type]


def test_a_cancelled_task_leaves_in_its_own_context() -> None:
    call = spanned(work)

    async def statement() -> None:
        state = call.enter((1,), {})
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            call.leave(state, error)
            raise

    async def main() -> None:
        with within_a_span() as above:
            tasks = [asyncio.create_task(statement()) for _ in range(20)]
            await asyncio.sleep(0)
            assert current() is above
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert current() is above

    asyncio.run(main())
