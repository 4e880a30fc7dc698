"""A real server process on free ports."""

import json
import os
import signal
import subprocess
import sys

import pytest

from aftertrace.settings import Settings

ENTRY = "from aftertrace.cli.serve import command; command()"


class Server:
    """``aftertrace serve`` as a child; ``start`` again after ``kill`` opens the same store."""

    def __init__(self, directory, *options: str, changed: str = "", **env: str) -> None:
        """``changed``: statements that it runs first."""
        self.directory = directory
        self._options = options
        self._entry = f"{changed}\n{ENTRY}"
        self._env = {**os.environ, **env}
        self.start()

    def start(self) -> None:
        ports = ("--json", "--api-port", "0", "--otlp-port", "0", "--store", str(self.directory))
        argv = [sys.executable, "-c", self._entry, *ports, *self._options]
        with (self.directory.parent / f"{self.directory.name}.log").open("a") as log:
            self.process = subprocess.Popen(argv, env=self._env, stdout=subprocess.PIPE, stderr=log, text=True)
        said = json.loads(self.process.stdout.readline())
        self.api, self.otlp, self.grpc = said["api"], said["otlp"], said["grpc"]
        self.settings = Settings(server=self.api, token=self._env.get("AFTERTRACE_TOKEN", ""))

    def said(self) -> str:
        """What it wrote on stderr."""
        return (self.directory.parent / f"{self.directory.name}.log").read_text()

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(40)
        finally:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server") / "store")
    yield running
    assert running.end() == 0
