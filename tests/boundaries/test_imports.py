"""The import hook: it calls what waits for a module, and the program's imports go as they go without it."""

from __future__ import annotations

import json
import textwrap
import zipfile

import pytest

from .conftest import Runner

WAIT = """
import importlib, importlib.util, json, sys
from aftertrace.record.boundaries.imports import when_imported, _finder
sys.path.insert(0, ".")
told = []
def tell(module): told.append((module.__name__, sorted(name for name in vars(module) if name.isupper())))
def wait(name): when_imported(name, tell)
"""


@pytest.fixture
def modules(runner: Runner) -> Runner:
    files = {
        "plain.py": "A = 1",
        "package/__init__.py": "A = 1\nfrom package import part\nB = part.C",
        "package/part.py": "import package\nC = package.A",
        "circular.py": "A = 1\nimport other\nB = other.B",
        "other.py": "import circular\nB = circular.A",
        "broken.py": "A = 1\nraise KeyError('within')",
        "replaced.py": "import sys, types\nA = 1\no = types.ModuleType('replaced'); o.B = 2\nsys.modules[__name__] = o",
        "space/inner.py": "A = 1",
    }
    for name, text in files.items():
        path = runner.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with zipfile.ZipFile(runner.home / "zipped.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", "A = 1\nimport zipped.part\nB = 2")
        archive.writestr("zipped/part.py", "C = 1")
    return runner


def test_it_is_told_once_a_module_is_whole(modules: Runner):
    modules.good(
        WAIT
        + """
for name in "plain package package.part circular replaced space.inner zipped nowhere json".split(): wait(name)
assert told == [("json", [])], told  # loaded already
told.clear()
import plain, package, circular, replaced, space.inner
assert told == [("plain", ["A"]), ("package.part", ["C"]), ("package", ["A", "B"]), ("circular", ["A", "B"]),
    ("replaced", ["A"]), ("space.inner", ["A"])], told
assert replaced.B == 2 and type(plain.__loader__).__name__ == "SourceFileLoader"
assert "exec_module" not in vars(plain.__loader__)
sys.path.insert(0, "zipped.zip"); told.clear()
import zipped
assert told == [("zipped", ["A", "B"])], told
assert type(zipped.__loader__).__name__ == "zipimporter" and "exec_module" not in vars(zipped.__loader__)
try: import nowhere
except ModuleNotFoundError: pass
"""
    )


def test_again_when_it_is_loaded_again(modules: Runner):
    modules.good(
        WAIT
        + """
wait("plain")
assert importlib.util.find_spec("plain") is not None and told == []
import plain
importlib.reload(plain)
del sys.modules["plain"]
import plain
assert told == [("plain", ["A"])] * 3, told
"""
    )


def test_a_module_in_the_middle_of_its_import(modules: Runner):
    (modules.home / "asking.py").write_text(WAIT + "wait('asking')\nA = 1\n")
    modules.good(
        """
        import sys; sys.path.insert(0, ".")
        import asking
        import plain
        assert asking.told == [("asking", ["A", "WAIT"])] or asking.told == [("asking", ["A"])], asking.told
        """
    )


def test_loaders_of_all_kinds(modules: Runner):
    modules.good(
        WAIT
        + """
import importlib.abc, importlib.machinery, types
class Old:  # no exec_module
    def load_module(self, name): raise ImportError("old")
    def create_module(self, spec): return None
class Slots:
    __slots__ = ()
    def create_module(self, spec): return None
    def exec_module(self, module): module.A = 1
class AsClass:
    @classmethod
    def create_module(cls, spec): return None
    @classmethod
    def exec_module(cls, module): module.A = 1
loaders = {"slots": Slots(), "as_class": AsClass, "old": Old()}
class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name in loaders: return importlib.machinery.ModuleSpec(name, loaders[name])
sys.meta_path.append(Finder)
sys.meta_path.append(object())
for name in loaders: wait(name)
import slots, as_class
assert slots.A == as_class.A == 1 and AsClass.exec_module.__code__.co_name == "exec_module"
lazy = importlib.util.find_spec("plain"); lazy.loader = importlib.util.LazyLoader(lazy.loader)
module = importlib.util.module_from_spec(lazy); sys.modules["plain"] = module
lazy.loader.exec_module(module); wait("plain")
assert object.__getattribute__(module, "__class__").__name__ == "_LazyModule" and told == []
assert module.A == 1
from aftertrace.record.boundaries.state import ledger
assert {name for name in loaders if name in ledger._failures} == {"slots"} | {"old"} & set(ledger._failures)
ledger._failures.clear()
"""
    )


def test_threads_that_import_at_once(modules: Runner):
    modules.good(
        WAIT
        + """
import threading
names = [f"many{n}" for n in range(50)]
for name in names:
    open(name + ".py", "w").write("A = 1")
    wait(name)
def load(): [importlib.import_module(name) for name in names]
threads = [threading.Thread(target=load) for _ in range(8)]
importlib.invalidate_caches()
[thread.start() for thread in threads]; [thread.join() for thread in threads]
assert sorted(told) == sorted((name, ["A"]) for name in names)
"""
    )


def test_errors_of_an_import_look_the_same(modules: Runner):
    """huey is waited for; here it is a broken one of the program's own."""
    (modules.home / "huey").mkdir()
    (modules.home / "huey" / "__init__.py").write_text("")
    (modules.home / "huey" / "api.py").write_text("import broken\n")
    modules.same(
        textwrap.dedent("""
        import sys, traceback
        sys.path.insert(0, ".")
        for name in "huey.api", "huey.nowhere":
            try: __import__(name)
            except Exception: traceback.print_exc()
        sys.path.insert(0, "elsewhere")
        print("huey.api" in sys.modules, "huey" in sys.modules)
        """)
    )


def test_a_library_that_is_not_as_expected_is_left_alone(modules: Runner):
    (modules.home / "httpx.py").write_text("class Client:\n    def get(self): return 'mine'\n")
    ran = modules.run(
        """
        import sys, json; sys.path.insert(0, ".")
        import httpx
        from aftertrace.record import boundaries
        print(httpx.Client().get(), [line for line in boundaries.report() if line[0] == "httpx"])
        """
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "mine [('httpx', 'skipped', 'Client.send is not there')]\n"


def test_nothing_is_imported_that_the_program_does_not(modules: Runner):
    bare = modules.bare("import sys; print(' '.join(sorted(sys.modules)))")
    ran = modules.run("import sys; print(' '.join(sorted(sys.modules)))")
    more = set(ran.out.split()) - set(bare.stdout.split())
    assert not more & {
        "logging",
        "sqlite3",
        "httpx",
        "asyncio",
        "random",
        "uvicorn",
        "starlette",
        "huey",
        "opentelemetry",
    }


def test_nothing_of_a_data_store_is_loaded_before_the_program_loads_it(runner: Runner):
    ran = runner.good("""
        import json, sys
        ours = "aftertrace.record.boundaries."
        names = ["psycopg", "psycopg_pool", "asyncpg", "redis", "sqlalchemy", "sqlite3"]
        names += [ours + name for name in ("psycopg", "asyncpg", "redis", "sqlalchemy", "sqlite", "sql", "stores")]
        print(json.dumps([name for name in names if name in sys.modules]))
        import asyncpg
        print(json.dumps([name for name in names if name in sys.modules]))
    """)
    before, after = (json.loads(line) for line in ran.out.splitlines())
    assert before == []
    assert after == ["asyncpg", *(f"aftertrace.record.boundaries.{name}" for name in ("asyncpg", "sql", "stores"))]
