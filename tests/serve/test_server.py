"""The whole server: questions, health, refusals that say what to do."""

import json
import socket
import urllib.error
import urllib.request

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from aftertrace.cli import client
from aftertrace.errors import NotFound, Unauthorized, Unavailable, UsageError
from aftertrace.serve.run import Options, run
from aftertrace.settings import Settings

from .conftest import Server


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_pages_and_health(server):
    assert get(server.api + "/healthz") == (200, '{"status":"ok"}')
    status, said = get(server.api + "/readyz")
    assert (status, json.loads(said)) == (200, {"status": "ok", "otlp": {"http": server.otlp, "grpc": server.grpc}})
    assert "aftertrace ls" in get(server.api + "/")[1]
    assert '"name":"ls"' in get(server.api + "/api/v1")[1]
    assert get(server.api + "/nowhere")[0] == 404


def test_errors_reach_the_client_as_what_they_are(server):
    assert client.ask("ls", settings=server.settings, limit=3)["more"] is False
    for call, kind, slug in (
        (lambda: client.ask("nope", settings=server.settings), NotFound, "unknown-question"),
        (lambda: client.ask("ls", settings=server.settings, limit=0), UsageError, "bad-limit"),
        (lambda: client.ask("ls", settings=server.settings, query="x=1"), UsageError, "bad-query"),
        (lambda: client.bundle("zz", settings=server.settings), UsageError, "bad-id"),
        (lambda: client.bundle("0123456789", settings=server.settings), NotFound, "no-such-trace"),
        (lambda: client.ask("ls", settings=Settings(server=server.otlp)), Unavailable, "not-aftertrace"),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.slug == slug
        assert caught.value.hint


def test_no_server_says_how_to_start_one():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable) as caught:
            client.ask("ls", settings=Settings(server=f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (caught.value.slug, caught.value.hint) == ("no-server", "Start one: aftertrace up")


def test_a_name_that_is_not_this_machine_is_refused(server):
    assert get(server.api + "/api/v1/ls", Host="evil.example")[0] == 400
    assert get(server.otlp + "/v1/traces", Host="evil.example:4318")[0] == 400


def test_too_large_is_413(server):
    exporter = OTLPSpanExporter(f"{server.otlp}/v1/traces")
    request = urllib.request.Request(
        f"{server.otlp}/v1/traces", data=bytes((64 << 20) + 1), headers={"Content-Type": "application/x-protobuf"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == 413
    caught.value.close()
    assert exporter.export([]) == SpanExportResult.SUCCESS  # the next one is served
    exporter.shutdown()


def test_a_token_is_asked_for(tmp_path):
    server = Server(tmp_path / "store", "--bind", "0.0.0.0", AFTERTRACE_TOKEN="s3cret")
    try:
        assert client.ask("ls", settings=server.settings)["traces"] == []
        with pytest.raises(Unauthorized) as caught:
            client.ask("ls", settings=Settings(server=server.api, token="wrong"))
        assert caught.value.slug == "bad-token"
        assert get(server.otlp + "/v1/traces")[0] == 401
        assert get(server.api + "/healthz")[0] == 200
    finally:
        assert server.end() == 0


def test_listening_beyond_this_machine_needs_a_token(tmp_path):
    with pytest.raises(UsageError) as caught:
        run(Options(tmp_path, host="0.0.0.0", otlp_port=0, api_port=0), ready=print)
    assert caught.value.slug == "token-needed"


def test_a_port_in_use_is_said_before_the_store_is_touched(tmp_path, server):
    port = int(server.api.rpartition(":")[2])
    with pytest.raises(Unavailable) as caught:
        run(Options(tmp_path / "other", otlp_port=0, api_port=port), ready=print)
    assert caught.value.slug == "port-in-use"
    assert not (tmp_path / "other").exists()
