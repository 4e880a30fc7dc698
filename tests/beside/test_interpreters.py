"""Sub-interpreters are not recorded: they run as they do bare, it is told once, and the main one is recorded on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..record.conftest import START
from .conftest import Both, Kinds

PROGRAM = """
import sys, work
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
INSIDE = '''
import logging, sys, threading
import aftertrace
def double(n):
    return 2 * n
aftertrace.keep("nothing")
print(double(4), aftertrace.install() is True)
logging.getLogger("inside").warning("heard")
thread = threading.Thread(target=lambda: print(double(5)))
thread.start()
thread.join()
'''
work.main()
for _ in range(2):
    one = interpreters.create(*KIND)
    interpreters.run_string(one, INSIDE)
    interpreters.destroy(one)
work.main()
"""


@pytest.mark.parametrize("kind", ["()", "('legacy',)"])
def test_they_run_and_it_is_told(kind: str, program: Path, both: Both, alone: Kinds) -> None:
    """The old kind, which shares the main one's lock, may load extensions that do not support it."""
    if sys.version_info < (3, 13) and kind != "()":
        kind = "(), {'isolated': False}"
    script = PROGRAM.replace("*KIND", "isolated=False" if "isolated" in kind else f"*{kind}")
    (program / "program.py").write_text(script)
    bare, done, kinds = both(sys.executable, "program.py")
    assert done.returncode == bare.returncode == 0, done.stderr
    assert done.stdout == bare.stdout
    assert "8 False" in done.stdout
    said = [line for line in done.stderr.splitlines() if line.startswith("aftertrace: ")]
    assert said[0] == "aftertrace: sub-interpreter: what runs in a sub-interpreter is not recorded; the main one is."
    assert len(said) <= 3  # ours, and what install() says to whoever calls it
    assert [line for line in done.stderr.splitlines() if line not in said] == [
        line for line in bare.stderr.splitlines() if not line.startswith("aftertrace: ")
    ]
    assert len(kinds) == 1
    assert kinds[0][START] >= 2 * (alone[START] - 1)


POOL = """
import work
from concurrent.futures import InterpreterPoolExecutor
if __name__ == "__main__":
    with InterpreterPoolExecutor(2) as pool:
        print(list(pool.map(work.fib, range(6))))
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="from 3.14 on")
def test_a_pool_of_them(program: Path, both: Both) -> None:
    (program / "pool.py").write_text(POOL)
    bare, done, _ = both(sys.executable, "pool.py")
    assert (done.returncode, done.stdout) == (0, bare.stdout)
    assert "sub-interpreter" in done.stderr
