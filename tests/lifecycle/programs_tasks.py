"""asyncio: task groups, cancellation, timeouts, eager tasks, async generators closed late, uvloop."""

PROGRAMS = {
    "a task group in a trace each": """
import asyncio
from witness import here, within
async def leaf(n):
    await asyncio.sleep(0)
    here(f"leaf {n}")
    return n
async def one(n):
    with within(n):
        here(f"one {n}")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(leaf(10 * n + m)) for m in range(3)]
        here(f"joined {n}")
        return sum(task.result() for task in tasks)
async def main():
    here("main")
    found = await asyncio.gather(*(one(n) for n in range(1, 5)))
    here("end")
    return found
print(asyncio.run(main()))
""",
    "cancellation, shielded and refused": """
import asyncio
from witness import here, within
async def stubborn():
    for n in range(3):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            here(f"refused {n}")
    return "stayed"
async def cleans():
    try:
        await asyncio.sleep(10)
    finally:
        here("cleaning")
        await asyncio.sleep(0)
        here("cleaned")
async def inner():
    await asyncio.sleep(0)
    here("shielded")
    return 5
async def main():
    with within(7):
        task = asyncio.create_task(stubborn())
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        print(await task, task.cancelling())
        task = asyncio.create_task(cleans())
        await asyncio.sleep(0)
        task.cancel("enough")
        try:
            await task
        except asyncio.CancelledError as error:
            print("cancelled", error.args)
        kept = asyncio.create_task(inner())
        waiter = asyncio.ensure_future(asyncio.shield(kept))
        waiter.cancel()
        print(await asyncio.gather(waiter, kept, return_exceptions=True))
asyncio.run(main())
""",
    "timeouts within timeouts": """
import asyncio
from witness import here, within
async def slow():
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        here("slow is cancelled")
        raise
async def main():
    with within(3):
        try:
            async with asyncio.timeout(10):
                try:
                    async with asyncio.timeout(0.01):
                        await slow()
                except TimeoutError:
                    here("inner")
                    raise ValueError("from the inner") from None
        except ValueError as error:
            here("outer")
            print(error)
        try:
            await asyncio.wait_for(slow(), 0.01)
        except TimeoutError as error:
            print(type(error.__cause__).__name__)
        done, pending = await asyncio.wait([asyncio.create_task(slow())], timeout=0.01)
        print(len(done), len(pending))
asyncio.run(main())
""",
    "eager tasks": """
import asyncio
from witness import here, within
async def quick(n):
    here(f"quick {n}")
    return n
async def slow(n):
    here(f"before {n}")
    await asyncio.sleep(0)
    here(f"after {n}")
    return n
async def fails(n):
    here(f"fails {n}")
    raise ValueError(n)
async def nested(n):
    with within(n):
        here(f"nested {n}")
        task = asyncio.create_task(slow(100 + n))
        here(f"made {n}")
        with within(n + 50):
            other = asyncio.create_task(quick(200 + n))
            here(f"other {n}")
        here(f"back {n}")
        return await task + await other
async def main():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    with within(9):
        tasks = [asyncio.create_task(nested(n)) for n in range(1, 4)]
        here("all made")
        print(await asyncio.gather(*tasks))
        print(await asyncio.gather(asyncio.create_task(fails(1)), return_exceptions=True))
        here("end")
asyncio.run(main())
""",
    "async generators closed late": """
import asyncio, gc
from witness import here, within
kept = []
async def numbers(name):
    try:
        for n in range(5):
            await asyncio.sleep(0)
            yield n
    finally:
        here(f"closing {name}")
        await asyncio.sleep(0)
        here(f"closed {name}")
async def by_loop():
    some = numbers("by the loop")
    kept.append(some)
    return await anext(some)
async def by_gc():
    some = numbers("by gc")
    return await anext(some)
async def by_cycle():
    some = numbers("by a cycle")
    round = [some]
    round.append(round)
    return await anext(some)
async def by_break():
    async for n in numbers("by break"):
        if n == 2:
            return n
async def by_hand():
    some = numbers("by hand")
    await anext(some)
    await some.aclose()
    try:
        await anext(some)
    except StopAsyncIteration:
        here("exhausted")
async def main():
    with within(4):
        print(await by_loop(), await by_break(), await by_hand())
    with within(5):
        print(await by_gc())
        gc.collect()
        await asyncio.sleep(0.01)
    with within(6):
        print(await by_cycle())
        gc.collect()
        await asyncio.sleep(0.01)
    here("end of main")
asyncio.run(main())
""",
    "callbacks, threads and subprocesses of a loop": """
import asyncio, contextvars, sys
from witness import here, within
def soon(n):
    here(f"soon {n}")
def blocking(n):
    here(f"blocking {n}")
    return n
async def main():
    loop = asyncio.get_running_loop()
    with within(11):
        loop.call_soon(soon, 1)
        loop.call_later(0.001, soon, 2)
        print(await asyncio.to_thread(blocking, 3))
        loop.call_soon_threadsafe(soon, 4)
        await asyncio.sleep(0.01)
    empty = contextvars.Context()
    with within(12):
        await asyncio.create_task(asyncio.to_thread(blocking, 5), context=empty)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1)", stdout=-1)
    print(await child.stdout.read(), await child.wait())
asyncio.run(main())
""",
    "a task that nobody waits for, and one that fails unseen": """
import asyncio, gc
from witness import here, within
async def forever():
    try:
        await asyncio.Event().wait()
    finally:
        here("stopped by the end of run")
async def fails():
    here("fails")
    raise LookupError("unseen")
async def main():
    with within(2):
        task = asyncio.create_task(forever(), name="forever")
        other = asyncio.create_task(fails(), name="fails")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del other
        gc.collect()
asyncio.get_event_loop_policy
asyncio.run(main())
""",
    "a generator based on coroutines by hand, and thrown into": """
import types
from witness import here, within
@types.coroutine
def switch(value):
    got = yield value
    return got
async def work(name):
    here(f"{name} begins")
    try:
        got = await switch(name)
    except KeyError as error:
        here(f"{name} is thrown into")
        got = error.args[0]
    with within(8):
        got += await switch("in a span")
        here(f"{name} within")
    return got
one, two = work("one"), work("two")
print(one.send(None), two.send(None))
print(one.send(1), two.throw(KeyError(2)))
for each in (two, one):
    try:
        each.send(5)
    except StopIteration as stop:
        print(stop.value)
dropped = work("dropped")
dropped.send(None)
dropped.close()
never = work("never")
never.close()
""",
    "uvloop": """
import asyncio, uvloop
from witness import here, within
async def leaf(n):
    await asyncio.sleep(0)
    here(f"leaf {n}")
    return n
def soon():
    here("soon")
async def agen():
    try:
        yield 1
        yield 2
    finally:
        here("agen closes")
async def one(n):
    with within(n):
        here(f"one {n}")
        asyncio.get_running_loop().call_soon(soon)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(leaf(10 * n + m)) for m in range(3)]
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            here("late")
        return sum(task.result() for task in tasks)
kept = []
async def server(reader, writer):
    here("server")
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
async def main():
    kept.append(agen())
    await anext(kept[0])
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    writer.write(b"hello\\n")
    print(await reader.readline())
    writer.close()
    listening.close()
    return await asyncio.gather(*(one(n) for n in range(1, 4)), asyncio.to_thread(here, "thread"))
print(uvloop.run(main()), uvloop.run.__module__)
""",
    "loops in several threads": """
import asyncio, threading
from witness import here, within
async def leaf(n):
    await asyncio.sleep(0)
    here(f"leaf {n}")
async def main(n):
    with within(n):
        await asyncio.gather(*(leaf(10 * n + m) for m in range(3)))
        here(f"main {n}")
threads = [threading.Thread(target=asyncio.run, args=(main(n),)) for n in range(1, 5)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""",
    "interrupted by a signal": """
import asyncio, os, signal
from witness import here, within
def handler():
    here("handler")
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, handler)
    with within(3):
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.01)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            here("cancelled by SIGINT")
            raise
        finally:
            here("finally")
asyncio.run(main())
""",
}
