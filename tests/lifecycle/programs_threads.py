"""Threads, pools of threads, greenlets: whose frames are whose, and in which trace."""

PROGRAMS = {
    "threads that start threads, in traces": """
import threading
from witness import here, within
def inner(n):
    here(f"inner {n}")
def outer(n):
    here(f"outer {n}")
    with within(100 + n):
        thread = threading.Thread(target=inner, args=(n,))
        thread.start()
        thread.join()
    here(f"done {n}")
class Own(threading.Thread):
    def run(self):
        here("own run")
        super().run()
threads = [threading.Thread(target=outer, args=(n,)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
own = Own(target=inner, args=("own",))
own.start()
own.join()
timer = threading.Timer(0.001, inner, ("timer",))
timer.start()
timer.join()
""",
    "a pool of threads, and work that fails": """
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from witness import here, within
def begin():
    here("begin")
def work(n):
    here(f"work {n}")
    if n % 3 == 0:
        raise ValueError(n)
    return n
def done(future):
    here("done")
met = threading.Barrier(2)
def pair(n):
    met.wait(10)
    return n
with ThreadPoolExecutor(2, initializer=begin) as pool:
    print(sorted(pool.map(pair, range(2))))  # both threads are there, outside any trace
    futures = []
    for n in range(6):
        futures.append(pool.submit(work, n))
    futures[0].add_done_callback(lambda future: None)
    print(sorted(str(future.exception() or future.result()) for future in as_completed(futures)))
    try:
        list(pool.map(work, [1, 3]))
    except ValueError as error:
        print(error)
pool = ThreadPoolExecutor(1)
pool.submit(work, 7)
pool.shutdown(wait=False, cancel_futures=False)
""",
    "a pool of multiprocessing's threads, and a queue": """
import queue, threading
from multiprocessing.pool import ThreadPool
from witness import here, within
def double(n):
    here(f"double {n}")
    return 2 * n
jobs = queue.Queue()
def worker():
    while (n := jobs.get()) is not None:
        here(f"job {n}")
        jobs.task_done()
with ThreadPool(2) as pool:
    print(pool.map(double, range(4)), list(pool.imap(double, [7])))
threads = [threading.Thread(target=worker) for _ in range(2)]
[thread.start() for thread in threads]
[jobs.put(n) for n in range(6)]
jobs.join()
[jobs.put(None) for _ in threads]
[thread.join() for thread in threads]
""",
    "a generator handed from thread to thread": """
import threading
from witness import here, within
def numbers():
    for n in range(6):
        here(f"number {n}")
        yield n
some = numbers()
found = []
def take():
    found.append(next(some))
    with within(3):
        found.append(next(some))
for _ in range(3):
    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
print(found, list(some))
""",
    "an exception in a thread, and sys.exit in one": """
import sys, threading
from witness import here
def hook(args):
    here("hook")
    print(args.exc_type.__name__, args.exc_value, args.thread.name)
def fails():
    try:
        raise LookupError("in a thread")
    finally:
        here("finally")
def leaves():
    here("leaves")
    sys.exit(5)
thread = threading.Thread(target=fails, name="first")
threading.excepthook = hook
thread.start()
thread.join()
threading.excepthook = threading.__excepthook__
thread = threading.Thread(target=leaves)
thread.start()
thread.join()
thread = threading.Thread(target=lambda: 1 // 0, name="last")
thread.start()
thread.join()
here("end")
""",
    "threads made by _thread, and locals of threads that clean up": """
import _thread, threading, weakref
from witness import here, within
class Kept:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        here(f"{self.name} is gone")
local = threading.local()
over = threading.Event()
def bare(n):
    local.kept = Kept(f"kept {n}")
    here(f"bare {n}")
    weakref.finalize(local.kept, over.set)
_thread.start_new_thread(bare, (1,))
print(over.wait(10))
def joined(n):
    local.kept = Kept(f"kept {n}")
thread = threading.Thread(target=joined, args=(2,))
thread.start()
thread.join()
""",
    "greenlets in one another, dropped and thrown into": """
import greenlet
from witness import here, within
def inner(name):
    here(f"inner {name}")
    back = main.switch(name)
    here(f"inner {name} again")
    return back
def work(name):
    try:
        got = inner(name)
        got = inner(f"{name}{got}")
    except KeyError as error:
        here(f"{name} is thrown into")
        got = "thrown"
    return got
def nested():
    child = greenlet.greenlet(lambda: here("child") or parent.switch(1) or here("child again"))
    parent = greenlet.getcurrent()
    here("nested")
    child.switch()
    here("nested again")
    child.switch()
    here("nested at last")
def dropped():
    try:
        inner("dropped")
    finally:
        here("dropped ends")
main = greenlet.getcurrent()
a, b = greenlet.greenlet(work), greenlet.greenlet(work)
print(a.switch("a"), b.switch("b"), a.switch(1), b.switch(2))
print(b.throw(KeyError("k")), a.switch(3), a.dead, b.dead)
greenlet.greenlet(nested).switch()
c = greenlet.greenlet(dropped)
c.switch()
del c
here("end")
""",
    "gevent, all patched": """
from gevent import monkey
monkey.patch_all()
import gevent, os, queue, subprocess, sys, threading, time
from gevent.pool import Pool
from witness import here, within
def leaf(n):
    time.sleep(0.001 * (n % 3))
    here(f"leaf {n}")
    return n
def one(n):
    with within(n):
        here(f"one {n}")
        found = [leaf(10 * n + m) for m in range(3)]
        here(f"one {n} done")
    here(f"one {n} left")
    return sum(found)
def ticking():
    while True:
        gevent.sleep(0)
def stopped():
    try:
        gevent.sleep(10)
    finally:
        here("killed")
class Late(gevent.Timeout): pass
def main():
    print(Pool(3).map(one, range(1, 6)))
    task = gevent.spawn(stopped)
    gevent.sleep(0)
    task.kill()
    with gevent.Timeout(0.01, False):
        gevent.sleep(10)
    here("timed out")
    thread = threading.Thread(target=one, args=(7,))
    thread.start()
    thread.join()
    print(gevent.get_hub().threadpool.apply(leaf, (9,)))
    jobs = queue.Queue()
    gevent.spawn(lambda: [jobs.put(leaf(n)) for n in range(3)])
    print([jobs.get() for _ in range(3)])
    print(subprocess.run(["echo", "said"], capture_output=True).stdout)
main()
""",
}
