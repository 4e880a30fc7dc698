"""Is what goes wrong kept, whole, in every service, whatever else goes wrong? From the repository's root:

    python -m benchmarks.keeping [--only NAME ...] [--rate 40] [--edges 4] [--json]

Four services (FastAPI, Flask in threads, plain asyncio ASGI, a Celery worker on Redis) on three hosts, an agent on
each, one server. Hosts are network namespaces where that is allowed; otherwise all is on one host, each agent with a
socket and spool of its own, and the result says so. Edge cases have trace ids that are known, so each can be asked for
afterwards; what was recorded of it is known from a second reader of the same rings. Per scenario:

    kept        edge cases of which the server has something, by kind
    complete    of these, how many are whole: of every service all that its ring held (what an agent or the ring itself
                said to be lost is counted apart)
    delay       from the trigger until every service's part can be read through the API
    shipped     bytes that agents sent, against all that was recorded (and against that, compressed)
    p99         of healthy requests, before, during and after the fault

Load, services, agents and server share this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.keeping import table
from benchmarks.keeping.hosts import Hosts
from benchmarks.keeping.measure import Wanted, progress, run
from benchmarks.keeping.scenarios import SCENARIOS

from aftertrace.cli.demo.processes import terminated_cleanly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names, usual = [one.name for one in SCENARIOS], Wanted()
    parser.add_argument("--only", action="append", choices=names, help="This scenario (may be given again).")
    parser.add_argument("--rate", type=float, default=usual.rate, help="Healthy requests a second.")
    parser.add_argument("--edges", type=float, default=usual.edges, help="Edge cases a second.")
    parser.add_argument("--clients", type=int, default=usual.clients, help="At saturation.")
    parser.add_argument("--stretch", type=float, default=1.0, help="Of all times: 0.5 is half as long.")
    parser.add_argument("--level", default=usual.level, help="At which the services are recorded.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-namespaces", action="store_true", help="Several agents on one host.")
    parser.add_argument("--keep-files", action="store_true", help="Logs and spools stay; where, is said.")
    parser.add_argument("--json", action="store_true", help="One line for each scenario.")
    words = parser.parse_args()
    wanted = Wanted(words.rate, words.edges, words.clients, words.stretch, words.level, words.seed)
    hosts = Hosts.prepare(wanted=not words.no_namespaces)
    place = Path(tempfile.mkdtemp(prefix="keeping-"))
    results: list[dict[str, Any]] = []
    try:
        with terminated_cleanly():
            for scenario in SCENARIOS:
                if scenario.name in (words.only or names):
                    say = progress(scenario.name, quiet=words.json and not sys.stderr.isatty())
                    result = run(scenario, hosts, place / scenario.name, wanted, say)
                    results.append({**table.summary(result), **_machine(hosts)})
                    if words.json:
                        print(json.dumps(results[-1]), flush=True)
    except KeyboardInterrupt:
        print("\nended early", file=sys.stderr)
    finally:
        if words.keep_files:
            print(f"\nfiles: {place}", file=sys.stderr)
        else:
            shutil.rmtree(place, ignore_errors=True)
    if not words.json:
        print("\r\033[K" + "\n".join(table.lines(results)))


def _machine(hosts: Hosts) -> dict[str, Any]:
    how = f"one host: {hosts.why_not}" if hosts.why_not else "three network namespaces on a bridge"
    return {"hosts": how, "cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)}


if __name__ == "__main__":
    main()
