"""CPU of the shop's gateway per request: bare, under `aftertrace run` at spans, at calls, at lines.

    python benchmarks/gateway.py [--rounds 40] [--requests 30] [--json]

All gateways run at once, as processes of their own, before the same bare orders and inventory; a real agent reads
their rings. Slices of requests go to one after the other, each round beginning with another, so all meet the same
machine. CPU is what the kernel counted for all threads of the process (/proc/PID/task/*/schedstat, ns). Given
are the medians over rounds of CPU per request, of the ratio to the bare slice of the same round, and, as control, the
ratio of two bare gateways. Bytes per request are what the ring took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aftertrace.cli.bench.records import ring_of
from aftertrace.cli.demo import variants
from aftertrace.cli.demo.processes import Process, Processes, Shop, answers, free_ports, wait_until
from aftertrace.cli.demo.sources import shop_sources
from aftertrace.cli.demo.stage import aftertrace

LEVELS = ("spans", "calls", "lines")
CASES = ("cart", "checkout")
WARM_REQUESTS = 60
HEAD = 64  # offset of the ring's head (docs/format.md)


@dataclass(slots=True)
class Gateway:
    """One gateway under measurement; ``samples`` per case: ns of CPU per request, one for each slice."""

    name: str
    process: Process
    url: str
    ring: int = -1
    samples: dict[str, list[float]] = field(default_factory=dict)
    bytes: dict[str, list[float]] = field(default_factory=dict)

    def cpu_ns(self) -> int:
        """ns of CPU that its threads have used so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def head(self) -> int:
        """Bytes that were ever written to its ring."""
        return int.from_bytes(os.pread(self.ring, 8, HEAD), "little") if self.ring >= 0 else 0

    def slice(self, case: str, requests: int, number: int) -> None:
        ask: Callable[[str, str], None] = globals()[f"_{case}"]
        cpu, head = self.cpu_ns(), self.head()
        for one in range(requests):
            ask(self.url, f"bench-{number}-{one}")
        self.samples.setdefault(case, []).append((self.cpu_ns() - cpu) / requests)
        self.bytes.setdefault(case, []).append((self.head() - head) / requests)


def _post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).read()


def _cart(url: str, name: str) -> None:
    """Read a cart: one call to orders."""
    urllib.request.urlopen(f"{url}/cart/{name}", timeout=30).read()


def _checkout(url: str, name: str) -> None:
    """Fill a cart and check out: two calls to orders, one row, one job."""
    _post(f"{url}/cart/{name}", {"sku": "C-11", "quantity": 1})
    _post(f"{url}/checkout", {"cart": name, "country": "DE", "recipient": f"{name}@example.org"})


@contextmanager
def gateways(directory: Path) -> Iterator[list[Gateway]]:
    """bare, control (bare too), spans, calls, lines."""
    with Processes(directory / "logs") as processes:
        variant = variants.make(shop_sources(), directory / "shop")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AFTERTRACE_", "PYTHON"))}
        shop = Shop(variant, directory / "data", processes, clean)
        shop.start(free_ports(3))
        env = shop.env | {"AFTERTRACE_AGENT_SOCKET": str(directory / "agent.sock")}
        env |= {"AFTERTRACE_SPOOL_DIR": str(directory / "spool"), "AFTERTRACE_ENDPOINT": "http://127.0.0.1:9"}
        agent = processes.start("agent", aftertrace("agent"), env=env, cwd=directory)
        wait_until((directory / "agent.sock").exists, agent)
        names = ("bare", "control", *LEVELS)
        yield [_start(shop, processes, env, name, port) for name, port in zip(names, free_ports(5), strict=True)]


def _start(shop: Shop, processes: Processes, env: dict[str, str], name: str, port: int) -> Gateway:
    command = [sys.executable, *(part.format(port=port) for part in shop.service("front")["command"])]
    if name in LEVELS:
        command = aftertrace("run", "--service", f"gateway-{name}", "--level", name, "--budget", "100%", "--", *command)
    own = env | {"SHOP_DATA": str(shop.data / name)}
    (shop.data / name).mkdir()
    process = processes.start(f"gateway-{name}", command, env=own, cwd=shop.variant.root)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(f"{url}/healthz"), process)
    return Gateway(name, process, url, ring_of(process.pid) if name in LEVELS else -1)


def measure(found: list[Gateway], rounds: int, requests: int) -> None:
    """Fills the samples, with progress on stderr."""
    for gateway in found:
        for one in range(WARM_REQUESTS):
            _checkout(gateway.url, f"warm-{one}")
    for number in range(rounds):
        first = number % len(found)
        order = [*found[first:], *found[:first]]
        for case in CASES:
            for gateway in order:
                gateway.slice(case, requests, number)
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def report(found: list[Gateway]) -> dict[str, Any]:
    """Per case and gateway: us per request, ratio to bare (median and quartiles of the paired slices), bytes."""
    bare = found[0]
    answer: dict[str, Any] = {}
    for case in CASES:
        rows = answer[case] = {}
        for gateway in found:
            ratios = [mine / base for mine, base in zip(gateway.samples[case], bare.samples[case], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4) if gateway is not bare else (1.0, 1.0, 1.0)
            rows[gateway.name] = {
                "us_per_request": round(statistics.median(gateway.samples[case]) / 1000, 1),
                "ratio": round(middle, 3),
                "quartiles": [round(low, 3), round(high, 3)],
                "ring_bytes_per_request": round(statistics.median(gateway.bytes[case])),
            }
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=30, help="in a slice")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aftertrace-bench-") as name, gateways(Path(name)) as found:
        measure(found, max(arguments.rounds, 2), max(arguments.requests, 1))
        answer = report(found)
    if arguments.json:
        print(json.dumps(answer))
        return
    for case, rows in answer.items():
        print(f"{case}:")
        for level, row in rows.items():
            low, high = row["quartiles"]
            size = f"{row['ring_bytes_per_request']:>8} bytes" if row["ring_bytes_per_request"] else ""
            print(f"  {level:8} {row['us_per_request']:9} us   x {row['ratio']:.3f}  ({low:.3f} - {high:.3f})  {size}")


if __name__ == "__main__":
    main()
