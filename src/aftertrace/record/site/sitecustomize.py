"""Found first on PYTHONPATH under ``aftertrace run``: runs the sitecustomize that was there without us, then starts
the recorder. The program goes on whatever happens here. Written for any Python 3: a child may be an old one."""

import os
import sys


def _leave_path() -> None:
    """The program's sys.path is as it is without us; its children find us through the environment."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here or not entry]
    sys.path_importer_cache.pop(here, None)


def _stay_first() -> None:
    """One that puts itself before us in what children get (opentelemetry-instrument's) would not run us there."""
    here = os.path.dirname(os.path.abspath(__file__))
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if here in entries[1:]:
        os.environ["PYTHONPATH"] = os.pathsep.join([here] + [entry for entry in entries if entry != here])


def _told() -> str:
    """What has been said; by another interpreter of this process too, where Python can look (3.14)."""
    look = getattr(os, "reload_environ", None) and getattr(sys.modules.get("posix"), "_create_environ", None)
    fresh = look() if look else {}
    return os.fsdecode(fresh.get(b"AFTERTRACE_TOLD", b"")) or os.environ.get("AFTERTRACE_TOLD", "")


def _is_heard() -> bool:
    """Whether stderr is still that of `aftertrace run`: a program that reads what a child of its says there gets the
    child's words alone."""
    told_to = os.environ.get("AFTERTRACE_STDERR")
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return not told_to or told_to == ":".join([str(found.st_dev), str(found.st_ino)])


def _say(sentence: str) -> None:
    """Once for a program and its children, on stderr."""
    if not _is_heard():
        return
    slug = sentence.partition(":")[0]
    told = _told().split(",")
    if slug in told:
        return
    os.environ["AFTERTRACE_TOLD"] = ",".join([word for word in told if word] + [slug])
    try:
        sys.stderr.write("aftertrace: " + sentence + "\n")
        sys.stderr.flush()
    except Exception:  # no stderr: nobody to tell
        pass


def _record() -> None:
    if os.environ.get("AFTERTRACE_ENABLED", "1").lower() in {"0", "false", "no", "off"}:
        return
    if sys.version_info < (3, 12) or sys.implementation.name != "cpython":
        _say(f"unsupported-python: {sys.executable} cannot be recorded, CPython 3.12 or later can.")
        return
    try:
        from aftertrace.record import bootstrap  # noqa: PLC0415  # may be missing in this interpreter
    except ImportError as error:
        if "subinterpreter" in str(error):
            _say("sub-interpreter: what runs in a sub-interpreter is not recorded; the main one is.")
            return
        _say(f"not-installed: {sys.executable} does not find {error.name}; install aftertrace there.")
        return
    bootstrap.start(_say)


def _sitecustomize() -> None:
    """The one that Python would have found without us. Raises what it raises, ImportError when there is none."""
    if sys.modules.get("sitecustomize") is not None:
        del sys.modules["sitecustomize"]
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401, PLC0415  # another one than this file


_leave_path()
try:
    _sitecustomize()
finally:
    try:
        _stay_first()
        _record()
    except Exception as error:  # never the program's problem
        _say(f"not-recording: {type(error).__name__}: {error}.")
