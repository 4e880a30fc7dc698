"""The real OpenTelemetry exporters of JavaScript. Skipped where there is no node, or no package registry."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aftertrace.cli import client

HERE = Path(__file__).parent / "javascript"
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """send.js beside its packages."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node is not installed")
    directory = tmp_path_factory.mktemp("javascript")
    for name in ("package.json", "send.js"):
        shutil.copy(HERE / name, directory)
    words = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefer-offline"]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False, timeout=170)
    if done.returncode and any(code in done.stderr for code in UNREACHABLE):
        pytest.skip("no package registry is reached")
    assert done.returncode == 0, done.stderr
    return directory / "send.js"


@pytest.mark.parametrize(
    ("protocol", "compression"),
    [("http/json", "gzip"), ("http/json", "none"), ("http/protobuf", "gzip"), ("grpc", "gzip")],
)
def test_spans_and_logs_arrive(server, program, protocol, compression):
    env = {
        **os.environ,
        "OTEL_SERVICE_NAME": "js",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.grpc if protocol == "grpc" else server.otlp,
    }
    done = subprocess.run(["node", program], env=env, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    found = client.bundle(done.stdout.strip(), settings=server.settings)
    outer, inner = found.spans
    assert (outer.name, inner.name, inner.parent_id, outer.service) == ("outer", "inner", outer.span_id, "js")
    expected = {"s": "é", "i": 2**40, "f": 1.5, "b": True, "list": ["a", "b"], "numbers": [1, 2.5]}
    assert {key: value for key, value in outer.attributes.items() if key != "cut"} == expected
    assert set(outer.attributes["cut"]) == {"\ufffd"}  # half a character
    assert type(outer.attributes["i"]) is int
    assert (outer.kind.name, outer.status.name, outer.status_message) == ("SERVER", "ERROR", "no")
    assert outer.events[0].attributes["exception.type"] == "TypeError"
    assert inner.links[0].span_id == outer.span_id
    (log,) = found.logs
    assert (log.time_ns, log.severity, log.body, log.event_name) == (5_000_000, 13, {"k": [1, "é"]}, "e")
    assert log.attributes["map"] == {"x": [1]}
    assert log.attributes["bytes"] == b"\xff\x00"
