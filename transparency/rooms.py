"""A place for each package under the cache directory: its sdist's tree, and a virtual environment of its own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from transparency.packages import Package

HERE = Path(__file__).absolute().parent
CHECKOUT = HERE.parent
CACHE = CHECKOUT / ".venv" / "transparency" / f"{sys.version_info.major}.{sys.version_info.minor}"
CONSTRAINTS = HERE / "constraints.txt"


class Unprepared(Exception):
    """A package's place cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Room:
    """``tree`` is the unpacked sdist, ``python`` has the package, its tests' requirements and aftertrace."""

    package: Package
    directory: Path
    tree: Path
    python: Path

    @property
    def aftertrace(self) -> Path:
        return self.python.with_name("aftertrace")


def wheel() -> Path:
    """The checkout as a wheel, built once for each state of its sources. Raises Unprepared."""
    place = CACHE / "wheels" / _sources()
    built = list(place.glob("*.whl"))
    if not built:
        shutil.rmtree(place.parent, ignore_errors=True)
        _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(place), str(CHECKOUT)])
        built = list(place.glob("*.whl"))
    return built[0]


def _sources() -> str:
    digest = hashlib.sha256()
    files = [
        path for top in ("src", "native") for path in (CHECKOUT / top).rglob("*") if path.suffix in {".py", ".c", ".h"}
    ]
    for path in sorted([*files, CHECKOUT / "setup.py", CHECKOUT / "pyproject.toml"]):
        digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def prepare(package: Package, built: Path) -> Room:
    """Makes the package's place, or brings it up to date with ``built``, our wheel. Raises Unprepared."""
    directory = CACHE / f"{package.name}-{package.version}"
    directory.mkdir(parents=True, exist_ok=True)
    room = Room(package, directory, directory / "tree", directory / "venv" / "bin" / "python")
    _unpack(_sdist(package, directory), room.tree)
    _install(room)
    _install_ours(room, built)
    return room


def _sdist(package: Package, directory: Path) -> Path:
    kept = directory / "sdist"
    if not list(kept.glob("*.tar.gz")):
        source = f"{package.name}=={package.version}"
        _pip(sys.executable, "download", "--no-deps", "--no-binary", package.name, "-d", str(kept), source)
    return next(kept.glob("*.tar.gz"))


def _unpack(sdist: Path, tree: Path) -> None:
    """Anew each time: tests leave things behind."""
    shutil.rmtree(tree, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(tree.with_name("unpacked"), filter="data")
    top = next(tree.with_name("unpacked").iterdir())
    top.rename(tree)
    top.parent.rmdir()


def _install(room: Room) -> None:
    package = room.package
    wanted = [f"{package.name}=={package.version}", *package.requirements]
    stamp = room.directory / "installed"
    state = "\n".join([*wanted, CONSTRAINTS.read_text()])
    if stamp.exists() and stamp.read_text() == state:
        return
    shutil.rmtree(room.python.parent.parent, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(room.python.parent.parent)])
    _pip(str(room.python), "install", "-c", str(CONSTRAINTS), *wanted)
    stamp.write_text(state)
    (room.directory / "ours").unlink(missing_ok=True)


def _install_ours(room: Room, built: Path) -> None:
    stamp = room.directory / "ours"
    if stamp.exists() and stamp.read_text() == str(built):
        return
    _pip(str(room.python), "install", "-c", str(CONSTRAINTS), str(built))
    _pip(str(room.python), "install", "--force-reinstall", "--no-deps", str(built))
    stamp.write_text(str(built))


def _pip(python: str, *words: str) -> None:
    _run([python, "-m", "pip", words[0], "-q", "--disable-pip-version-check", *words[1:]])


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise Unprepared(f"{' '.join(words[1:5])} ... failed: {last[0]}")
