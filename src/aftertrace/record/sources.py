"""The program's source files as they are on disk, for the agent (D18): plain reads, nothing imported."""

from __future__ import annotations

import os
import stat

from aftertrace.wire.handover import SOURCE_LIMIT, SourceFile

# Taken now: the program, or a test of its, may put others in their place.
_open, _stat, _fstat = open, os.stat, os.fstat


class Sources:
    """Remembers how each file was when its code was met: one that has changed since is not what ran."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}  # path -> mtime in ns, size

    def meet(self, path: str) -> bool:
        """Its code has just been loaded. True: a file that was not met before."""
        if path in self._seen:
            return False
        try:
            found = _stat(path)
        except (OSError, ValueError):
            return False
        if stat.S_ISREG(found.st_mode):
            self._seen[path] = _shape(found)
        return path in self._seen

    def met(self) -> list[str]:
        return list(self._seen)

    def read(self, path: str) -> SourceFile | None:
        """The file, or None: it is missing, no regular file, too large, or no longer what was loaded."""
        if path not in self._seen:
            return None
        try:
            with _open(path, "rb") as file:
                unchanged = _shape(_fstat(file.fileno())) == self._seen[path]
                data = file.read(SOURCE_LIMIT + 1) if unchanged else b""
        except OSError:
            return None
        return SourceFile(path, data) if unchanged and len(data) <= SOURCE_LIMIT else None


def _shape(found: os.stat_result) -> tuple[int, int]:
    return found.st_mtime_ns, found.st_size
