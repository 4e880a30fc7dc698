"""The store's objects, made once and remembered: opening a store again changes nothing that was applied."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from aftertrace.errors import StoreError
from aftertrace.store.engine import Engine

_APPLIED = """
CREATE TABLE IF NOT EXISTS migrations (name String, sha256 String, applied DateTime DEFAULT now())
ENGINE = ReplacingMergeTree ORDER BY name SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


def objects() -> list[tuple[str, str]]:
    """(file name, SQL) in the manifest's order."""
    folder = files("aftertrace.store") / "sql"
    lines = (folder / "manifest.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]


def migrate(engine: Engine) -> list[str]:
    """Applies what the store does not have yet, and names it. StoreError: written by another release."""
    engine.command(_APPLIED)
    applied = {row["name"]: row["sha256"] for row in engine.query("SELECT name, sha256 FROM migrations FINAL", {})}
    wanted = objects()
    _compare(applied, {name: _digest(sql) for name, sql in wanted})
    made: list[str] = []
    for name, sql in wanted:
        if name not in applied:
            engine.command(sql)
            engine.command(f"INSERT INTO migrations (name, sha256) VALUES ('{name}', '{_digest(sql)}')")
            made.append(name)
    return made


def _digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()


def _compare(applied: dict[str, str], wanted: dict[str, str]) -> None:
    for name, digest in applied.items():
        if wanted.get(name) != digest:
            raise StoreError(
                "store-other-release",
                f"The store was written by another release of aftertrace ({name} differs).",
                "Use that release, or give this one a new directory with --store.",
            )
