"""Ways in which a program ends, and what may still run then."""

PROGRAMS = {
    "sys.exit through frames that clean up": """
import atexit, sys
from witness import here, within
def bye(n):
    here(f"bye {n}")
    print("bye", n)
def deep(n):
    try:
        if n: return deep(n - 1)
        sys.exit(9)
    finally:
        here(f"finally {n}")
atexit.register(bye, 1)
with within(2):
    deep(3)
""",
    "traced work in atexit, threads and spans in it": """
import atexit, threading, weakref
from witness import here, within
def late():
    with within(6):
        here("in atexit")
        [work(n) for n in range(3)]
def work(n):
    here(f"work {n}")
def fails():
    here("fails")
    raise ValueError("in atexit")
class Thing: pass
thing = Thing()
weakref.finalize(thing, work, "finalized")
atexit.register(late)
atexit.register(fails)
def first():
    here("before the pool's end")
threading._register_atexit(first)
print("main ends")
""",
    "daemons that run while the interpreter ends": """
import threading, time
from witness import here, within
begun = threading.Barrier(4)
def daemon(n):
    with within(n):
        here(f"daemon {n}")
        begun.wait(10)
        while True:
            spin(n)
            time.sleep(0.0005)
def spin(n):
    return [m * m for m in range(50)]
class Dies:
    def __del__(self):
        try:
            spin(1)
        except Exception:
            pass
for n in range(1, 4):
    threading.Thread(target=daemon, args=(n,), daemon=True).start()
begun.wait(10)
kept = Dies()
print("main ends")
""",
    "os._exit in the middle, from a thread": """
import os, sys, threading
from witness import here, within
def leaves():
    with within(5):
        here("leaves")
        sys.stdout.flush()
        os._exit(7)
thread = threading.Thread(target=leaves)
thread.start()
thread.join()
print("never")
""",
    "a deadly signal in the middle": """
import os, signal
from witness import here, within
def kills():
    with within(5):
        here("kills")
        os.kill(os.getpid(), signal.SIGKILL)
kills()
""",
    "a fault, with faulthandler": """
import faulthandler, os, signal
from witness import here
faulthandler.enable()
def faults():
    here("faults")
    os.kill(os.getpid(), signal.SIGSEGV)
faults()
""",
    "faulthandler tells of hangs, and goes on": """
import faulthandler, signal, sys, os, time
from witness import here, within
faulthandler.register(signal.SIGUSR1, file=sys.stdout, all_threads=True)
def hangs():
    here("hangs")
    os.kill(os.getpid(), signal.SIGUSR1)
with within(3):
    hangs()
here("end")
""",
    "an exec in the middle": """
import os, sys
from witness import here
def again():
    here("before")
    os.execv(sys.executable, [sys.executable, "-c", "print('another program')"])
again()
""",
    "an uncaught exception, hooks and a broken stdout": """
import atexit, sys
from witness import here
def hook(kind, error, trace):
    here("hook")
    print("hook", kind.__name__, trace.tb_next.tb_lineno)
def inner():
    raise LookupError("at last")
sys.excepthook = hook
atexit.register(here, "atexit")
inner()
""",
    "KeyboardInterrupt while importing": """
import os, signal, sys
from witness import here
def f():
    here("f")
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000): pass
try:
    f()
finally:
    here("finally")
""",
    "objects that die with the interpreter": """
import sys
from witness import here
class Dies:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        note(self.name)
def note(name):
    print("gone", name)
def generator():
    try:
        yield
    finally:
        print("closed")
one = Dies("one")
two = generator()
next(two)
sys.kept = Dies("kept")
here("end")
""",
}
