"""Two requests at one row of a real SQLite database, in one process's threads or in two processes, really recorded."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aftertrace import _native
from aftertrace.explain.why import ask
from aftertrace.show import why as rendering
from aftertrace.show.console import Console
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import Service, running
from .shops import Traces, kept_for

_HEAD = """
from aftertrace.record import boundaries
boundaries.install()
import sqlite3, time
def connect(body):
    return sqlite3.connect(body["db"], timeout=20)
def pieces_left(body):
    db = connect(body)
    row = db.execute("SELECT pieces FROM stock WHERE sku = ?", (body["sku"],)).fetchone()
    db.close()
    return row[0]
def handle(path, body):
    time.sleep(0)
    return take(body)
"""
CHECK = """
def take(body):
    left = pieces_left(body)  # cause
    if left < 1:
        raise ValueError("none left")
    time.sleep(body["pause"])
    db = connect(body)
    with db:
        db.execute("UPDATE stock SET pieces = pieces - ? WHERE sku = ?", (1, body["sku"]))
        after = db.execute("SELECT pieces FROM stock WHERE sku = ?", (body["sku"],)).fetchone()[0]
    db.close()
    return after
"""
UPDATE = """
def take(body):
    left = pieces_left(body)  # cause
    fewer = left - 1
    time.sleep(body["pause"])
    db = connect(body)
    db.execute("UPDATE stock SET pieces = :new WHERE sku = :sku", {"new": fewer, "sku": body["sku"]})
    db.commit()
    db.close()
    return fewer
"""
INLINE = """
def take(body):
    if pieces_left(body) < 1:  # cause
        raise ValueError("none left")
    time.sleep(body["pause"])
    db = connect(body)
    with db:
        db.execute("UPDATE stock SET pieces = pieces - 1 WHERE sku = ?", (body["sku"],))
    db.close()
"""
UNCOMMITTED = CHECK.replace("    with db:\n", "    if True:\n").replace(
    '        after = db.execute("SELECT pieces FROM stock WHERE sku = ?", (body["sku"],)).fetchone()[0]\n',
    "    after = finish(db)\n",
).replace("    db.close()\n    return after", "    return after") + """
def finish(db):
    db.close()
"""  # fmt: skip
IMMEDIATE = """
def take(body):
    db = connect(body)
    db.isolation_level = None
    db.execute("BEGIN IMMEDIATE")
    left = db.execute("SELECT pieces FROM stock WHERE sku = ?", (body["sku"],)).fetchone()[0]
    if left < 1:
        db.execute("ROLLBACK")
        return None
    time.sleep(body["pause"])
    db.execute("UPDATE stock SET pieces = pieces - ? WHERE sku = ?", (1, body["sku"]))
    db.execute("COMMIT")
    db.close()
    return left
"""
GUARDED = """
def take(body):
    left = pieces_left(body)
    if left < 1:
        raise ValueError("none left")
    time.sleep(body["pause"])
    db = connect(body)
    with db:
        done = db.execute("UPDATE stock SET pieces = pieces - 1 WHERE sku = ? AND pieces >= ?", (body["sku"], 1))
    db.close()
"""
LOOKED = """
def take(body):
    left = pieces_left(body)
    time.sleep(body["pause"])
    db = connect(body)
    with db:
        db.execute("UPDATE stock SET pieces = pieces - 1 WHERE sku = ?", (body["sku"],))
    db.close()
    return left
"""
PAUSE = 1.0


def pair(
    directory: Path,
    text: str,
    *,
    pieces: int = 1,
    skus: tuple[str, str] = ("A", "A"),
    processes: int = 1,
    level: int = _native.LEVEL_LINES,
    unknown: bool = False,
) -> tuple[TraceData, TraceData]:
    """The one that reads first and writes last, and the one that comes in between."""
    database = directory / "stock.db"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, pieces INTEGER)")
        db.executemany("INSERT INTO stock VALUES (?, ?)", [("A", pieces), ("B", pieces), ("warm", 100)])
    db.close()
    names = ["app", "app2"][:processes]
    program = (_HEAD + text).replace("  # cause", "")
    with running(directory, dict.fromkeys(names, program), level) as services:

        def send(name: str, sku: str, pause: float) -> str:
            return services.request(name, "/take", {"db": str(database), "sku": sku, "pause": pause})

        for name in names:
            send(name, "warm", 0)
        ids: list[str] = []
        slow = threading.Thread(target=lambda: ids.append(send(names[0], skus[0], PAUSE)))
        slow.start()
        time.sleep(PAUSE / 2)
        if unknown:  # one that took a piece and was not kept
            with sqlite3.connect(database) as db:
                db.execute("UPDATE stock SET pieces = pieces - 1 WHERE sku = 'A'")
            db.close()
        quick = send(names[-1], skus[1], 0)
        slow.join()
        return services.trace(ids[0]), services.trace(quick)


class Beside(Traces):
    """All of them overlapped each other."""

    def neighbours(self, trace_id: str, limit: int) -> list[str]:
        return [one for one in self._traces if one != trace_id][:limit]


def asked(one: TraceData, other: TraceData, trigger: str = "keep") -> dict[str, Any]:
    said = ask(Beside([kept_for(one, trigger), other], []), reference=one.trace_id).to_json()
    json.dumps(said)
    text = rendering.render(said, Console(100))
    assert len(text.splitlines()) <= 19  # and the line with the next commands
    assert all(len(line) <= 100 for line in text.splitlines()), text
    return said


def cause(text: str) -> int:
    lines = (_HEAD + text).split("\n")
    return next(number for number, line in enumerate(lines, 1) if line.endswith("  # cause"))


def race(said: dict[str, Any], text: str, what: str, status: str = "verified") -> dict[str, Any]:
    assert said["finding"] is not None, said
    assert (said["finding"]["kind"], said["cause"]["status"]) == ("race", status), said
    assert (said["cause"]["line"], said["cause"]["function"]) == (cause(text), "take")
    assert said["cause"]["says"].startswith(what)
    finding: dict[str, Any] = said["finding"]
    return finding


def none(said: dict[str, Any]) -> None:
    assert said["finding"] is None or said["finding"]["kind"] != "race", said["finding"]


@pytest.fixture
def one_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def resource(self: Service) -> dict[str, str | int]:
        return {"service.name": "app", "host.name": "one", "process.pid": self.process.pid}

    monkeypatch.setattr(Service, "resource", resource)


@pytest.mark.usefixtures("one_host")
def test_a_check_across_two_processes(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, CHECK, processes=2)
    said = asked(victim, other)
    finding = race(said, CHECK, "check-then-act")
    assert said["cause"]["value"]["value"]["scalar"] == 1
    assert finding["key"] == "stock[A]"
    assert finding["order"] == "one host clock, and the values allow no other"
    assert finding["wrong"].startswith("pieces is -1")
    assert [one["trace_id"] for one in finding["requests"]] == [victim.trace_id, other.trace_id]
    assert len({one["pid"] for one in finding["requests"]}) == 2
    statements = [(one["request"], one["text"]) for one in finding["events"] if "stock" in one["text"]]
    assert statements == [
        (0, "SELECT stock -> 1"), (1, "SELECT stock -> 1"), (1, "UPDATE stock"), (1, "SELECT stock -> 0"),
        (0, "UPDATE stock"), (0, "SELECT stock -> -1"),
    ]  # fmt: skip
    assert said["next"][1] == f"diff {victim.trace_id[:8]} {other.trace_id[:8]}"
    said = asked(other, victim)  # which has a file of its own: that the fault is in both is not proven
    race(said, CHECK, "check-then-act", "likely")
    assert said["cause"]["doubts"] == [f"the other request read at app.py:{cause(CHECK)}"]


def test_asked_about_the_first(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, CHECK)
    said = asked(other, victim)
    finding = race(said, CHECK, "check-then-act")
    assert finding["requests"][0]["trace_id"] == other.trace_id
    assert finding["wrong"].startswith("pieces is -1")
    assert "the other had read before, and wrote after" in said["cause"]["says"]
    none(asked(other, victim, "latency"))  # its own answer was right: the question is another one


def test_two_hosts_have_no_one_clock(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, CHECK, processes=2)
    none(asked(victim, other))


def test_a_lost_update_of_two_threads(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, UPDATE, pieces=5)
    finding = race(asked(victim, other), UPDATE, "lost update")
    assert finding["order"] == "one host clock"


def test_a_check_in_the_very_condition(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, INLINE)
    race(asked(victim, other), INLINE, "check-then-act")


def test_what_was_rolled_back_is_not_proven(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, UNCOMMITTED)
    said = asked(victim, other)
    race(said, UNCOMMITTED, "check-then-act", "likely")
    assert "that the other's change was committed is not recorded" in said["cause"]["doubts"]


@pytest.mark.parametrize("text", [IMMEDIATE, GUARDED, LOOKED], ids=["lock", "guard", "no decision"])
def test_what_is_no_race(tmp_path: Path, text: str) -> None:
    one, other = pair(tmp_path, text)
    none(asked(one, other))
    none(asked(other, one))


def test_other_rows(tmp_path: Path) -> None:
    one, other = pair(tmp_path, CHECK, skus=("A", "B"))
    none(asked(one, other))


def test_a_decision_that_still_held(tmp_path: Path) -> None:
    one, other = pair(tmp_path, CHECK, pieces=60)
    none(asked(one, other))
    none(asked(other, one))


def test_alone(tmp_path: Path) -> None:
    one, other = pair(tmp_path, CHECK)
    none(ask(Traces([kept_for(one, "keep"), replace(other)], []), reference=one.trace_id).to_json())


def test_one_of_those_in_between_is_not_known(tmp_path: Path) -> None:
    """Its write upon what the known one had left proves the order all the same."""
    victim, other = pair(tmp_path, CHECK, pieces=2, unknown=True)
    finding = race(asked(victim, other), CHECK, "check-then-act")
    assert "the values allow no other" in finding["order"]
    assert finding["wrong"].startswith("pieces is -1")


def test_without_lines_nothing_is_said(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, CHECK, level=_native.LEVEL_CALLS)
    none(asked(victim, other))


def test_where_the_other_was_not_recorded(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, CHECK)
    none(asked(victim, replace(other, recordings=[], sources={})))  # its spans say when, not on which row
    none(asked(victim, replace(other, sources={})))
    none(asked(replace(victim, sources={}), other))
