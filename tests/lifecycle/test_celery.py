"""A Celery worker with a pool of forked processes: children killed, timed out, recycled, and ended at work."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lab import Lab, Ran, alike, check, plain, witnessed
from serving import free_port
from taking import Agent
from telling import Story

TASKS = """
import os, signal, time
import witness
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_process_init
from witness import here
witness.within(1)
app = Celery("shop", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
app.conf.task_default_queue = os.environ["QUEUE"]
app.conf.broker_connection_retry_on_startup = True
@worker_process_init.connect
def begins(**more):
    return os.getpid()
@app.task
def works(n):
    here(f"works {n}")
    return deeper(n)
def deeper(n):
    here(f"deeper {n}")
    return n * n
@app.task
def fails(n):
    here(f"fails {n}")
    raise KeyError(n)
@app.task
def dies():
    here("dies")
    time.sleep(0.5)  # a task that the worker has not acknowledged yet is run again
    os.kill(os.getpid(), signal.SIGKILL)
@app.task(soft_time_limit=1)
def slow():
    try:
        while True: sum(range(100)), time.sleep(0.01)
    except SoftTimeLimitExceeded:
        here("told to stop")
        return "stopped"
@app.task(time_limit=1)
def deaf():
    here("deaf")
    while True: time.sleep(0.05)
@app.task
def waits():
    here("waits")
    while not os.path.exists(os.environ["WITNESS"] + ".released"): time.sleep(0.02)
    here("goes on")
    return "done"
"""
# Sends by the number of its trace; what came of each.
CLIENT = """
import json, sys
from tasks import *
def send(task, trace, *args):
    return task.apply_async(args, headers={"traceparent": f"00-{trace:032x}-{trace:016x}-01"})
def came(result):
    try:
        return result.get(timeout=60)
    except BaseException as error:
        return type(error).__name__
if sys.argv[1] == "many":
    sent = [send(works, n, n) for n in range(2, 12)] + [send(fails, 20, 3), send(slow, 21), send(deaf, 22)]
    found = [came(result) for result in sent]
    found += [came(send(dies, 30)), came(send(works, 31, 4))]
    print(json.dumps(found))
else:
    print(json.dumps(came(send(waits, 40))))
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis of our own."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    port, home = free_port(), tmp_path_factory.mktemp("redis")
    words = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


def work(lab: Lab, redis: str, agent: Agent | None) -> tuple[Ran, list[object]]:
    """One worker's life, and what its client got."""
    name = "bare" if agent is None else "recorded"
    seen = lab.home / f"seen.{name}"
    more = {"REDIS": redis, "QUEUE": name}
    words = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "2", "--max-tasks-per-child", "4"]
    with (lab.home / f"log.{name}").open("wb") as log:
        worker = subprocess.Popen(words, cwd=lab.home, env=lab.environment(agent, seen, **more), stdout=log, stderr=log)
        try:
            found = json.loads(client(lab, "many", more).communicate(timeout=100)[0])
            waiting = client(lab, "one", more)
            while not any(line.startswith("waits") for line in witnessed(seen)):
                assert worker.poll() is None
                time.sleep(0.02)
            worker.send_signal(signal.SIGTERM)
            while "Warm shutdown" not in (lab.home / f"log.{name}").read_text():
                time.sleep(0.02)
            Path(f"{seen}.released").touch()
            found.append(json.loads(waiting.communicate(timeout=60)[0]))
            worker.wait(60)
        finally:
            worker.kill()
            worker.wait()
    return Ran(worker.returncode, plain((lab.home / f"log.{name}").read_text()), "", witnessed(seen)), found


def client(lab: Lab, what: str, more: dict[str, str]) -> subprocess.Popen[str]:
    words = [sys.executable, "client.py", what]
    env = lab.environment(None, lab.home / "seen.client", **more)
    return subprocess.Popen(words, cwd=lab.home, env=env, stdout=subprocess.PIPE, text=True)


def test_a_celery_worker(lab: Lab, redis: str) -> None:
    lab.write(TASKS, "tasks.py")
    lab.write(CLIENT, "client.py")
    agent = lab.agent()
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(work, lab, redis, None)
            recorded, found = work(lab, redis, agent)
            bare, expected = first.result()
        recorded.processes = agent.all_closed()
    finally:
        agent.close()
    recorded.stories = [Story(process) for process in recorded.processes]
    squares = [n * n for n in range(2, 12)]
    assert found == [*squares, "KeyError", "stopped", "TimeLimitExceeded", "WorkerLostError", 16, "done"]
    assert (found, recorded.code) == (expected, bare.code)
    alike(recorded, bare)
    check(recorded)
    assert "deeper 4|deeper<works|4" in recorded.seen
    children = [story for story in recorded.stories if story.names["begins"]]
    assert len(children) >= 5  # of fifteen tasks four at most are one child's, and two kill theirs
    assert sum(story.names["deeper"] for story in children) == 11
