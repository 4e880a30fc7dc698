"""What `pip install` brings: the light install beside somebody's service, and the server, in clean environments."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.whole, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
LIGHT = {"aftertrace", "click", "opentelemetry-api", "typing-extensions", "backports-zstd"}
PACKAGED = {
    "aftertrace/py.typed",
    "aftertrace/_native.pyi",
    "aftertrace/store/sql/manifest.txt",
    "aftertrace/store/sql/spans.sql",
    "aftertrace/traceql/traceql.lark",
    "aftertrace/record/site/sitecustomize.py",
    "aftertrace/cli/demo/shop/shop.json",
    "aftertrace/cli/demo/shop/gateway/regions.py",
}


def run(*command: str | Path, **more: object) -> str:
    done = subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True, timeout=400, **more
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    source = target / "source"
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", target, source)
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment with the light install."""
    directory = tmp_path_factory.mktemp("light")
    run(sys.executable, "-m", "venv", directory)
    run(directory / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel)
    return directory / "bin/python"


def test_the_wheel_has_all_that_it_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= PACKAGED
    assert any(name.startswith("aftertrace/_native.") and name.endswith(".so") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "native/")) or "__pycache__" in name]


def test_the_light_install_stays_light(light: Path) -> None:
    rows = json.loads(run(light, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"))
    found = {row["name"].lower().replace("_", "-").replace(".", "-") for row in rows} - {"pip"}
    expected = LIGHT if sys.version_info < (3, 14) else LIGHT - {"backports-zstd"}
    assert found - {"importlib-metadata", "zipp"} == expected  # what some releases of opentelemetry-api bring


def test_the_light_install_records_and_says_what_it_lacks(light: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint('done', sys.argv[1:])\nsys.exit(3)\n")
    command = [str(light.with_name("aftertrace")), "run", "--", str(light), str(program), "a"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "done ['a']\n")
    served = subprocess.run(
        [str(light.with_name("aftertrace")), "serve"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert served.returncode == 6
    assert "no-server-parts" in served.stderr
    assert "Traceback" not in served.stderr


def test_the_server_install_serves(light: Path, wheel: Path, tmp_path: Path) -> None:
    run(light, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{wheel}[server]")
    command = [str(light.with_name("aftertrace")), "serve", "--json", "--otlp-port", "0", "--api-port", "0"]
    command += ["--store", str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as served:
        try:
            assert served.stdout is not None
            addresses = json.loads(served.stdout.readline())
            assert addresses["api"].startswith("http://127.0.0.1:")
        finally:
            served.terminate()
            served.communicate(timeout=30)
    assert served.returncode == 0
