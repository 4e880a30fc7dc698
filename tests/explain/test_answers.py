"""What is a failure and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..reconstruct import services
from .programs import one
from .recorded import answer, record

# As a framework does it: an HTTPException is an answer of its own status.
REFUSING = services.BUS.replace(
    'answer = {"status": 500}',
    'status = getattr(error, "status_code", 500)\n'
    '        span.set_attribute("http.response.status_code", status)\n'
    "        span.set_status(2 if status >= 500 else 0, type(error).__name__)\n"
    '        answer = {"status": status}',
).replace(
    "        span.record_exception(error)\n        span.set_status(2, type(error).__name__)\n        status",
    "        status",
)


HANDLED = """
def handle(path, body):
    try:
        return 1 / body[0]
    except ArithmeticError:
        return 0
"""


def refusing(status: int) -> str:
    return f"""
class HTTPException(Exception):
    def __init__(self, status_code, detail):
        self.status_code = status_code
        self.detail = detail
def handle(path, body):
    if body["id"] != "A-1":
        raise HTTPException({status}, "no such thing")
    return body["id"]
"""


def test_a_refusal_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REFUSING.count('"status": status') == 1
    monkeypatch.setattr(services, "BUS", REFUSING)
    said = answer(record(tmp_path, one(refusing(404), body={"id": "B-2"})))
    assert said["request"]["http_status"] == 404
    assert said["failure"]["kind"] == "none"
    assert said["cause"]["status"] == "unknown"


def test_an_http_exception_of_500_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "BUS", REFUSING)
    said = answer(record(tmp_path, one(refusing(503), body={"id": "B-2"})))
    assert said["request"]["http_status"] == 503
    assert (said["failure"]["kind"], said["failure"]["line"]) == ("exception", 8)


def test_no_failure(tmp_path: Path) -> None:
    said = answer(record(tmp_path, one("def handle(path, body):\n    return 1\n")))
    assert said["failure"] == {**said["failure"], "kind": "none", "says": "nothing failed", "line": 0}
    assert (said["cause"]["status"], said["chain"]) == ("unknown", [])
    assert any("nothing failed" in text for text in said["unknown"])


def test_an_exception_that_was_handled_is_no_failure(tmp_path: Path) -> None:
    said = answer(record(tmp_path, one(HANDLED, body=[0])))
    assert said["failure"]["kind"] == "none"
    assert any("ZeroDivisionError" in text and "handled" in text for text in said["unknown"])
