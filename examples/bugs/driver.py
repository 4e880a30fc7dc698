"""What the drivers of these programs share: requests that carry a trace id of ours, bounded in count and in time.

    python traffic.py healthy --count 30
    python traffic.py failing

Each prints one JSON object: how often each status came, and of ``failing`` the requests that went wrong.
"""

import argparse
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

TIMEOUT_SECONDS = 20.0
MOST = 500  # healthy requests


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``ms`` until its last byte."""

    trace_id: str
    status: int
    ms: float
    body: Any = None


@dataclass(slots=True)
class Outcome:
    """``failing``: the requests that the bug hits; ``around``: those that were needed to get there."""

    failing: list[Answer] = field(default_factory=list)
    around: list[Answer] = field(default_factory=list)


def send(method: str, url: str, body: Any = None) -> Answer:
    """One request in a trace of its own."""
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    return Answer(trace_id, status, round((time.perf_counter() - began) * 1000, 1), _plain(text))


def together(calls: Sequence[Callable[[], Answer]], apart: float = 0.0) -> list[Answer]:
    """All at once, or so many seconds one after the other, without waiting for answers."""
    with ThreadPoolExecutor(len(calls)) as threads:
        sent = []
        for call in calls:
            sent.append(threads.submit(call))
            time.sleep(apart)
        return [one.result() for one in sent]


def _plain(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")[:200]


def main(healthy: Callable[[int], list[Answer]], failing: Callable[[], Outcome]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["healthy", "failing"])
    parser.add_argument("--count", type=int, default=30, help="healthy requests")
    arguments = parser.parse_args()
    if arguments.what == "healthy":
        sent = healthy(min(arguments.count, MOST))
        report: dict[str, Any] = {"slowest_ms": max(one.ms for one in sent)}
    else:
        outcome = failing()
        sent = [*outcome.around, *outcome.failing]
        report = {"failing": [asdict(one) for one in outcome.failing]}
    report["statuses"] = dict(Counter(str(one.status) for one in sent))
    sys.stdout.write(json.dumps(report) + "\n")
