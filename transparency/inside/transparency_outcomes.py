"""Runs in the tested process: one JSON object a line about each test, and at the end about the recorder."""

from __future__ import annotations

import json
import os
import sys

_path = os.environ.pop("TRANSPARENCY_OUTCOMES")  # what the tests start is not watched
_modules = os.environ.pop("TRANSPARENCY_MODULES").split()
_file = os.open(_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
_pid = os.getpid()


def _write(line):
    if os.getpid() == _pid:  # tests fork
        os.write(_file, json.dumps(line).encode() + b"\n")


def expect(count):
    """How many tests there are."""
    _write({"tests": count})


def tell(test, outcome, text=""):
    """``text``: why it failed."""
    _write({"test": test, "outcome": outcome, "text": text[-4000:]})


def end(test_files):
    """Whether the package and its tests were recorded, and the recorder's counters; {} when there is no recorder."""
    native = sys.modules.get("aftertrace._native")
    if native is None:
        _write({"recorder": {}, "not_user": []})
        return
    files = [sys.modules[name].__file__ for name in _modules if name in sys.modules]
    not_user = [path for path in [*files, *test_files] if not native.why_user(str(path))[0]]
    _write({"recorder": native.status(), "not_user": [str(path) for path in not_user]})
