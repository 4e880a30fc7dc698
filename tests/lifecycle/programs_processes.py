"""Processes that make processes: forks from everywhere, multiprocessing's ways, pools of processes."""

PROGRAMS = {
    "a fork inside a span": """
import os, sys
from witness import here, within
def child(n):
    here(f"child {n}")
    return n
def parent(n):
    here(f"parent {n}")
def fork(n):
    pid = os.fork()
    if not pid:
        child(n)
        with within(50 + n):
            here(f"own trace {n}")
        here(f"back {n}")
        sys.exit(n)
    parent(n)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
with within(1):
    here("before")
    print([fork(n) for n in range(3)])
    here("behind")
""",
    "children of children, and a daemon that forks twice": """
import os, sys
from witness import here, within
def daemonize():
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        os.wait()
        return os.read(read, 100)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.close(read)
    for fd in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), fd)
    with within(9):
        here("daemon")
    os.write(write, b"the daemon is there")
    os._exit(0)
def tree(depth):
    here(f"depth {depth}")
    if depth < 3:
        pid = os.fork()
        if not pid:
            tree(depth + 1)
            sys.exit(0)
        os.waitpid(pid, 0)
with within(2):
    tree(0)
print(daemonize())
""",
    "a fork in a generator, a coroutine and a callback": """
import asyncio, os
from witness import here, within
def fork(name):
    pid = os.fork()
    here(f"{name} {'parent' if pid else 'child'}")
    if pid:
        os.waitpid(pid, 0)
    return pid
def numbers():
    pid = fork("generator")
    yield pid
    here(f"generator again {bool(pid)}")
    yield 1
async def leaf():
    await asyncio.sleep(0)
    pid = fork("coroutine")
    return pid
async def main():
    with within(4):
        pid = await leaf()
        here(f"awaited {bool(pid)}")
        return pid
def suspended():
    here("suspended begins")
    yield 1
    here("suspended goes on")
    yield 2
waiting = suspended()
next(waiting)
some = numbers()
if not next(some):
    next(some)
    next(waiting)
    os._exit(0)
next(some)
next(waiting)
if not sorted([1], key=lambda n: fork("callback"))[0]:
    os._exit(0)
pid = asyncio.new_event_loop().run_until_complete(main())
if not pid:
    os._exit(0)
print("end")
""",
    "a fork from a thread, beside threads that work": """
import os, threading, time, warnings
warnings.simplefilter("ignore")
from witness import here, within
stop = False
def works():
    while not stop:
        spin(20)
        time.sleep(0.0005)
def spin(n):
    return sum(m for m in range(n))
def forks(n):
    with within(n):
        pid = os.fork()
        if not pid:
            here(f"child {n}")
            thread = threading.Thread(target=here, args=(f"thread of child {n}",))
            thread.start()
            thread.join()
            os._exit(n)
        here(f"parent {n}")
        print(n, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
workers = [threading.Thread(target=works) for _ in range(2)]
[worker.start() for worker in workers]
for n in range(1, 4):
    thread = threading.Thread(target=forks, args=(n,))
    thread.start()
    thread.join()
stop = True
[worker.join() for worker in workers]
""",
    "fork hooks that fork, start threads and fail": """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from witness import here, within
depth = 0
def before():
    here("before")
def in_parent():
    here("in parent")
    thread = threading.Thread(target=here, args=("thread of the hook",))
    thread.start()
    thread.join()
def in_child():
    global depth
    here(f"in child {depth}")
    depth += 1
    if depth == 1:
        pid = os.fork()
        if not pid:
            here("child of the hook")
            os._exit(3)
        print("hook's child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        thread = threading.Thread(target=here, args=("thread of the child's hook",))
        thread.start()
        thread.join()
def fails():
    here("fails")
    raise ValueError("in a hook")
os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)
os.register_at_fork(before=fails, after_in_child=fails)
sys.unraisablehook = lambda args: print("unraisable", args.exc_value, flush=True)
with within(5):
    pid = os.fork()
    if not pid:
        here("child")
        os._exit(4)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    here("end")
""",
    "posix_spawn, subprocess, system": """
import os, subprocess, sys
from witness import here, within
def spawn():
    here("spawn")
    pid = os.posix_spawn(sys.executable, [sys.executable, "child.py", "spawned"], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if __name__ == "__main__":
    child = open("child.py", "w")
    child.write("import sys\\nfrom witness import here\\ndef f(): here(sys.argv[1])\\nf()\\nsys.exit(3)\\n")
    child.close()
    with within(3):
        print(spawn(), subprocess.call([sys.executable, "child.py", "called"]))
        print(os.system(f"{sys.executable} child.py system"), subprocess.check_output(["echo", "x"], close_fds=False))
        print(subprocess.run(["true"], preexec_fn=lambda: here("preexec")).returncode)
        pid, terminal = __import__("pty").fork()
        if not pid:
            here("in a terminal")
            os._exit(0)
        os.waitpid(pid, 0)
""",
    "a child that is killed, and one that kills its parent's group": """
import os, signal, time
from witness import here, within
def child():
    here("child")
    os.kill(os.getpid(), signal.SIGKILL)
def waits(ready):
    here("waits")
    os.write(ready, b"x")
    while True:
        time.sleep(1)
with within(3):
    if not os.fork(): child()
    print(os.waitstatus_to_exitcode(os.wait()[1]))
    read, write = os.pipe()
    pid = os.fork()
    if not pid: waits(write)
    os.read(read, 1)
    os.kill(pid, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
""",
}
MULTIPROCESSING = """
import multiprocessing, os, sys
from witness import here, within
def work(n):
    here(f"work {{n}}")
    if n == 3:
        raise ValueError(n)
    return n * n
def fails():
    here("fails")
    sys.exit(6)
def gone():
    here("gone")
    os._exit(7)
def talks(queue, pipe, lock, value):
    with within(7):
        here("talks")
        while (n := queue.get()) is not None:
            with lock:
                value.value += n
        pipe.send("total")
    here("talked")
def begin():
    pass
def main():
    context = multiprocessing.get_context("{0}")
    with context.Pool(1, maxtasksperchild=1) as pool:  # the second worker is made by a thread of the pool
        print(pool.map(work, [8, 9], chunksize=1))
    with context.Pool(2, initializer=begin) as pool:
        print(pool.map(work, range(3), chunksize=1), pool.apply_async(work, (5,)).get(20))
        try:
            pool.apply(work, (3,))
        except ValueError as error:
            print(repr(error))
        pool.close()
        pool.join()
    for target in (fails, gone):
        process = context.Process(target=target)
        process.start()
        process.join()
        print(process.exitcode)
    queue, (end, other), lock, value = context.Queue(), context.Pipe(), context.Lock(), context.Value("i", 0)
    process = context.Process(target=talks, args=(queue, other, lock, value))
    process.start()
    [queue.put(n) for n in (1, 2, 3, None)]
    print(end.recv(), value.value)
    process.join()
    with context.Manager() as manager:
        shared = manager.dict(a=1)
        shared["b"] = work(2)
        print(dict(shared), manager.list([1]))
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        print(list(pool.map(work, [1, 2, 4])), repr(pool.submit(work, 3).exception()))
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        print(type(pool.submit(gone).exception()).__name__)
    here("end")
if __name__ == "__main__":
    main()
"""
PROGRAMS |= {f"multiprocessing by {how}": MULTIPROCESSING.format(how) for how in ("fork", "spawn", "forkserver")}
