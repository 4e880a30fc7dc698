"""Names, rules and sizes that follow from a command line, an environment and the files around."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from aftertrace.record import memory, resource
from aftertrace.record.program import Program, is_python
from aftertrace.record.roots import module_file, rules
from aftertrace.settings import Settings, from_environment


@pytest.mark.parametrize(
    ("line", "script", "module", "service", "isolated"),
    [
        ("python app.py --x", "app.py", "", "app", []),
        ("python -u -W error -X dev app.py", "app.py", "", "app", []),
        ("python -Werror -Xdev -OO app.py", "app.py", "", "app", []),
        ("python -m shop.worker -I", "", "shop.worker", "shop.worker", []),
        ("python -mshop.__main__", "", "shop.__main__", "shop", []),
        ("python -I app.py", "app.py", "", "app", ["-I"]),
        ("python -sEu app.py -S", "app.py", "", "app", ["-E"]),
        ("python --check-hash-based-pycs always -S -m x", "", "x", "x", ["-S"]),
        ("python -c pass -I", "", "", "python", []),
        ("python -Ic pass", "", "", "python", ["-I"]),
        ("python", "", "", "python", []),
        ("python -", "", "", "python", []),
        ("python /srv/shop/__main__.py", "/srv/shop/__main__.py", "", "shop", []),
        ("python /venv/bin/uvicorn shop.app:app --port 80", "/venv/bin/uvicorn", "", "shop.app", []),
        ("python -m uvicorn --host localhost:80 app:make()", "", "uvicorn", "app", []),
        ("python /venv/bin/huey_consumer worker.tasks.huey", "/venv/bin/huey_consumer", "", "huey_consumer", []),
        ("python /venv/bin/huey_consumer.py worker.tasks.huey", "/venv/bin/huey_consumer.py", "", "huey_consumer", []),
        ("python app.py a:b", "app.py", "", "app", []),
        ("python -m", "", "", "python", []),
        ("python -W", "", "", "python", []),
    ],
)
def test_what_a_command_line_runs(line: str, script: str, module: str, service: str, isolated: list[str]) -> None:
    found = Program(line.split())
    assert (found.script, found.module, found.service(), found.isolated) == (script, module, service, isolated)


def test_the_parser_agrees_with_python_itself(tmp_path: Path) -> None:
    """What Python puts into sys.argv behind argv[0] are the program's arguments."""
    (tmp_path / "app.py").write_text("import sys\nprint(sys.argv[1:])\n")
    code = "import sys; print(sys.argv[1:])"
    for words in (
        ["app.py", "-m", "x"],
        ["-u", "-Wignore", "-X", "dev", "app.py", "a"],
        ["-c", code, "-I", "b"],
        ["-uc", code, "b"],
        ["-m", "app", "-c", "d"],
        ["-Bmapp", "e"],
        ["--check-hash-based-pycs", "never", "app.py", "f"],
    ):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(Program([sys.executable, *words]).arguments), words


def test_pythons_are_known_by_name() -> None:
    assert all(is_python(word) for word in ("python", "/usr/bin/python3", "python3.13", "python3.13t", "pypy3"))
    assert not any(is_python(word) for word in ("pythonic", "ipython", "uvicorn", "python-config", "/python/sh"))


def test_packages_that_a_command_names(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/venv/bin/python\nimport re\nimport sys\nfrom shop.cli import main\nsys.exit(main())\n")
    assert Program(["python", str(tool)]).entry_packages() == ["shop"]
    assert Program(["python", "-m", "uvicorn", "shop.app:app"]).entry_packages() == ["shop"]
    assert Program(["python", "-m", "celery", "-A", "shop", "worker"]).entry_packages() == ["shop"]
    assert Program(["python", "-m", "pytest", "tests"]).entry_packages() == []
    gunicorn = ["python", "-m", "gunicorn", "-k", "some_worker.Worker", "shop.app:app"]
    assert Program(gunicorn).entry_packages() == ["shop"]
    assert Program(["python", "-m", "shop.worker"]).entry_packages() == ["shop"]


def native_why(settings: Settings, program: Program, path: str) -> tuple[bool, str]:
    """What the recorder itself says under these rules, in a process of its own."""
    found = rules(settings, program)
    code = (
        "import sys\nfrom aftertrace import _native\n"
        f"_native.start(0, ring_bytes=1 << 17, defs_bytes=1 << 16, roots={found.roots!r},"
        f" libraries={found.libraries!r},"
        f" include={found.include!r}, exclude={found.exclude!r})\nprint(*_native.why_user(sys.argv[1]), sep='|')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, path], capture_output=True, text=True, check=True)
    user, _, rule = done.stdout.strip().partition("|")
    return user == "True", rule


def test_user_code_is_the_project_not_its_libraries(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "job.py").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "project")
    program = Program(["python", str(tmp_path / "scripts" / "job.py")])
    settings = Settings(
        root=str(tmp_path / "link"), include=("json.decoder", "pip"), exclude=("project/generated/*", "a.b")
    )
    expected = {
        f"{tmp_path}/link/app.py": True,
        f"{tmp_path}/project/app.py": True,
        f"{tmp_path}/scripts/near.py": True,
        f"{tmp_path}/other.py": False,
        f"{sysconfig.get_path('stdlib')}/json/decoder.py": True,
        f"{sysconfig.get_path('stdlib')}/json/encoder.py": False,
        f"{sysconfig.get_path('purelib')}/pip/x/y.py": True,
        f"{sysconfig.get_path('purelib')}/click/core.py": False,
        f"{tmp_path}/link/project/generated/x.py": False,
        f"{tmp_path}/link/a/b.py": False,
        f"{tmp_path}/link/a/bc.py": True,
    }
    assert {path: native_why(settings, program, path)[0] for path in expected} == expected


def test_a_project_inside_its_own_environment_is_user_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    found = rules(Settings(root=str(tmp_path)), Program([]))
    assert f"{tmp_path}/" in found.roots
    assert f"{tmp_path}/" not in found.libraries
    assert f"{tmp_path}/" in rules(Settings(root=str(tmp_path.parent)), Program([])).libraries


def test_aftertrace_is_never_user_code() -> None:
    package = Path(memory.__file__).parent.parent
    assert not native_why(Settings(root=str(package.parent)), Program([]), str(package / "record" / "link.py"))[0]


def test_a_module_is_found_without_importing_it(tmp_path: Path) -> None:
    (tmp_path / "shop" / "deep").mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "shop" / "deep" / "leaf.py").write_text("")
    assert module_file("shop.deep.leaf", [str(tmp_path)]) == str(tmp_path / "shop" / "deep" / "leaf.py")
    assert module_file("shop", [str(tmp_path)]) == str(tmp_path / "shop" / "__init__.py")
    assert module_file("shop.nothing", [str(tmp_path)]) == ""
    assert module_file("..", [str(tmp_path)]) == ""


def test_the_service_s_name_in_order_of_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AFTERTRACE_SERVICE", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "AFTERTRACE_DEFAULT_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    program, expected = Program(["python", "app.py"]), "app"
    for name, value in (
        ("AFTERTRACE_DEFAULT_SERVICE", "default"),
        ("OTEL_RESOURCE_ATTRIBUTES", "broken, =x, service.name=resource%20one,service.version=2"),
        ("OTEL_SERVICE_NAME", "otel"),
        ("AFTERTRACE_SERVICE", "own"),
    ):
        assert resource.service(from_environment(), program) == expected
        monkeypatch.setenv(name, value)
        expected = "resource one" if name == "OTEL_RESOURCE_ATTRIBUTES" else value
    assert resource.service(from_environment(), program) == "own"


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *identity, *words], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_revision_is_what_git_says(tmp_path: Path) -> None:
    repository, deep = tmp_path / "r", tmp_path / "r" / "a" / "b"
    deep.mkdir(parents=True)
    assert resource.git_revision(deep) == ""
    git(repository, "init", "-q", "-b", "some/branch")
    assert resource.git_revision(deep) == ""
    git(repository, "commit", "-q", "--allow-empty", "-m", "one")
    revision = git(repository, "rev-parse", "HEAD")
    assert resource.git_revision(deep) == revision
    git(repository, "pack-refs", "--all")
    assert resource.git_revision(deep) == revision
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "w"))
    git(tmp_path / "w", "commit", "-q", "--allow-empty", "-m", "two")
    assert resource.git_revision(tmp_path / "w") == git(tmp_path / "w", "rev-parse", "HEAD") != revision
    git(repository, "checkout", "-q", "--detach")
    assert resource.git_revision(repository) == revision
    (repository / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert resource.git_revision(repository) == ""
    (repository / ".git" / "HEAD").write_text("ref: " + "../" * 20 + "etc/passwd")
    assert resource.git_revision(repository) == ""


def test_the_ring_fits_into_the_memory_that_is_allowed(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/pod/container\n")
    (tmp_path / "pod" / "container").mkdir(parents=True)
    (tmp_path / "pod" / "container" / "memory.max").write_text("max\n")
    assert memory.memory_limit(tmp_path, own) is None
    (tmp_path / "pod" / "memory.max").write_text(f"{100 << 20}\n")
    assert memory.memory_limit(tmp_path, own) == 100 << 20
    (tmp_path / "memory.max").write_text(f"{200 << 20}\n")
    assert memory.memory_limit(tmp_path, own) == 100 << 20
    (tmp_path / "memory").mkdir()
    own.write_text("3:cpu:/x\n4:memory,x:/y\ngarbage\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory.memory_limit(tmp_path, own) is None
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{64 << 20}\n")
    assert memory.memory_limit(tmp_path, own) == 64 << 20
    assert memory.memory_limit(tmp_path, tmp_path / "none") is None


def test_a_setting_wins_over_the_measure() -> None:
    assert memory.ring_bytes(1 << 20) == 1 << 20
    assert memory.ring_bytes(1) == 2 * 65536
    assert memory.LEAST <= memory.ring_bytes(0) <= memory.MOST


def test_attributes_of_this_process() -> None:
    found = resource.attributes("cart", str(Path.cwd()))
    assert found["process.pid"] == os.getpid()
    assert found["process.runtime.version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["service.name"] == "cart"
