"""What a Python command line runs: the interpreter's options, then a script, a module or `-c`.

``python -m shop.worker``, ``python app.py``, ``/venv/bin/uvicorn shop.app:app`` all come down to an entry, from which
the service's name and the user's package follow. Nothing is imported or run for it.
"""

from __future__ import annotations

import os

# Programs that run somebody else's code, named on their command line: their own package is a library.
RUNNERS = frozenset(
    "aftertrace aiohttp arq billiard cProfile celery coverage daphne ddtrace debugpy django dramatiq fastapi"  # noqa: SIM905
    " fastapi_cli flask granian gunicorn honcho huey hypercorn IPython memray multiprocessing opentelemetry pdb pip"
    " profile pyinstrument pytest rq runpy scalene streamlit trace unittest uvicorn viztracer waitress".split()
)
_WORKERS = frozenset({"-k", "--worker-class"})  # gunicorn's: their value is a class of a library
_WITH_VALUE = "WX"  # one-letter interpreter options that take a value
_ISOLATING = {"I": "-I", "E": "-E", "S": "-S"}  # those under which our sitecustomize is not run
_HEAD = 4096  # bytes of a console script that are looked at


class Program:
    """``script`` is a path, ``module`` a dotted name ("" each when it is not one); ``arguments`` are the program's
    own, ``code`` what stands after -c; ``isolated`` names the interpreter's options that keep a recorder out."""

    def __init__(self, orig_argv: list[str]) -> None:
        self.script = self.module = self.code = ""
        self.isolated: list[str] = []
        self.arguments: list[str] = []
        self._parse(orig_argv[1:])

    def _parse(self, words: list[str]) -> None:
        at = 0
        while at < len(words):
            word = words[at]
            at += 1
            if word in {"-", "--"} or not word.startswith("-"):
                self._take_script(word, words[at:])
                return
            if word.startswith("--"):
                at += word == "--check-hash-based-pycs"
                continue
            used, done = self._letters(word[1:], words[at:])
            if done:
                return
            at += used

    def _take_script(self, word: str, rest: list[str]) -> None:
        if word == "--" and rest:
            word, rest = rest[0], rest[1:]
        self.script = "" if word in {"-", "--"} else word
        self.arguments = rest

    def _letters(self, letters: str, rest: list[str]) -> tuple[int, bool]:
        """One word of short options: how many words of the rest it used, and whether the program's own begin."""
        for i, letter in enumerate(letters):
            value = letters[i + 1 :]
            if letter == "c":
                self.code = value or (rest[0] if rest else "")
                self.arguments = rest if value else rest[1:]
                return 0, True
            if letter == "m":
                self.module = value or (rest[0] if rest else "")
                self.arguments = rest if value else rest[1:]
                return 0, True
            if letter in _WITH_VALUE:
                return int(not value), False
            if letter in _ISOLATING:
                self.isolated.append(_ISOLATING[letter])
        return 0, False

    def targets(self) -> list[str]:
        """Modules that the arguments name: ``shop.app:app``, ``worker.tasks.huey``, ``-A shop``, without the part
        after the colon."""
        found: list[str] = []
        previous = ""
        for word in self.arguments:
            named = previous in {"-A", "--app"}
            if (named or ":" in word or "." in word) and previous not in _WORKERS and _is_target(word):
                found.append(word.partition(":")[0])
            previous = word
        return found

    def service(self) -> str:
        """A name for the service: of the module that a runner runs, else of the module or script."""
        pointed = [word.partition(":")[0] for word in self.arguments if ":" in word and _is_target(word)]
        runner = self.module.partition(".")[0] or os.path.basename(self.script)
        if pointed and not runner.endswith(".py"):
            return pointed[0]
        if self.module:
            return self.module.removesuffix(".__main__")
        name = os.path.basename(self.script.rstrip("/"))
        if name in {"__main__.py", ""}:
            name = os.path.basename(os.path.dirname(os.path.abspath(self.script))) if name else "python"
        return name.removesuffix(".py")

    def has_user_code(self) -> bool:
        """False for the process that multiprocessing starts to clean up behind the others."""
        return "multiprocessing.resource_tracker" not in self.code

    def entry_packages(self) -> list[str]:
        """Top-level packages that are the user's although they may be installed among the libraries."""
        tops = [self.module, *self.targets(), *script_imports(self.script)]
        return list(
            dict.fromkeys(top for top in (name.partition(".")[0] for name in tops) if top not in RUNNERS | {""})
        )


def is_python(word: str) -> bool:
    """``python``, ``python3.13``, ``/venv/bin/python``."""
    name = os.path.basename(word)
    version = name.removeprefix("python") if name.startswith("python") else name.removeprefix("pypy")
    return version != name and (not version or version.removesuffix("t").replace(".", "", 1).isdecimal())


def _is_target(word: str) -> bool:
    """``shop.app:app``, ``shop.app:make()``, ``worker.tasks.huey``."""
    module, colon, attribute = word.partition(":")
    parts = [*module.split("."), *(attribute.removesuffix("()").split(".") if colon else [])]
    return all(part.isidentifier() for part in parts)


def head(path: str) -> bytes:
    """The first bytes of a file; nothing when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD)
    except (OSError, ValueError):
        return b""


def shebang(path: str) -> list[str]:
    """The words of a script's first line, ``env`` taken away; [] when it has none."""
    first = head(path).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return []
    words = first[2:].decode("utf-8", "surrogateescape").split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if word != "-S"]
    return words


def script_imports(path: str) -> list[str]:
    """The modules that an installed console script imports (``from shop.cli import main``)."""
    if not path or path.endswith(".py") or not shebang(path):
        return []
    lines = [line.replace(",", " ").split() for line in head(path).decode("ascii", "replace").splitlines()]
    names = [words[1] for words in lines if len(words) > 1 and words[0] in {"from", "import"}]
    return [name for name in names if name not in {"re", "sys"} and _is_target(name)]
