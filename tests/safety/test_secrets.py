"""What a name gives away never enters the ring, what its form does never leaves the host; nothing else is harmed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import vault
from agent_parts import Agent, free_port, wait_for
from corpus import INNOCENT, NAMED, PATTERNS, parts
from plants import (
    CARD,
    CONTROL,
    SOURCE_SECRETS,
    Receiver,
    named_ring,
    pattern_program,
    run_patterns,
    spooled,
    unpacked,
)

from aftertrace import _native
from aftertrace.agent import patterns, redact
from aftertrace.wire.primitives import svarint


@pytest.mark.parametrize("level", [1, 2])
def test_what_a_name_hides_is_not_in_the_ring(tmp_path, level):
    ring = named_ring(tmp_path, level)
    assert vault.take(CONTROL).encode() in ring
    assert [line for number, line in enumerate(NAMED) if vault.take(number).encode() in ring] == []
    hidden = ring.count(b"\x16\x05") + ring.count(b"\x00\x06")  # REDACTED by name; OBJECT without attributes, by type
    assert hidden >= len(NAMED)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """What an agent had in its spool while the server was away, and what it sent when it was there."""
    directory, port = tmp_path_factory.mktemp("shipped"), free_port()
    agent = Agent(directory, f"http://127.0.0.1:{port}")
    child = run_patterns(directory, agent.socket)
    wait_for(
        lambda: agent.spool.exists() and b"aftertrace.kept" in b"".join(body for _, _, body in spooled(agent.spool)), 60
    )
    on_disk = spooled(agent.spool)
    receiver = Receiver(port)
    wait_for(lambda: any(b"aftertrace.kept" in body for _, _, body in receiver.got), 60)
    assert agent.end() == 0, agent.errors()
    receiver.close()
    child.wait(20)
    child.stdout.close()
    return unpacked(on_disk), unpacked(receiver.got)


@pytest.mark.parametrize("where", [0, 1], ids=["spool", "wire"])
def test_what_its_form_gives_away_does_not_leave(shipped, where):
    found = shipped[where]
    everything = b"".join(found.values())
    secrets = [secret for marked in PATTERNS for secret in parts(marked)[1]]
    secrets += [secret for _, secret in SOURCE_SECRETS] + ["hunter2argument", "hunter2resource", "hunter2said"]
    secrets += ["hunter2logger", "hunter2scope"]
    assert [secret for secret in secrets if secret.encode() in everything] == []
    assert b"MIIEvQIBADANBg" not in everything  # of a key, not even its beginning
    assert svarint(CARD) not in found["recordings"]
    assert str(CARD).encode() not in everything


@pytest.mark.parametrize("where", [0, 1], ids=["spool", "wire"])
def test_what_is_no_secret_arrives(shipped, where):
    found = shipped[where]
    for room in ("traces", "logs", "recordings"):
        assert [text for text in INNOCENT if text.encode() not in found[room]] == [], room


def test_a_source_keeps_its_lines_and_columns(shipped):
    sent, program = shipped[1]["sources"].decode(), pattern_program()
    assert [len(line) for line in sent.splitlines()] == [len(line) for line in program.splitlines()]
    different = [
        number
        for number, pair in enumerate(zip(sent.splitlines(), program.splitlines(), strict=True))
        if len(set(pair)) > 1
    ]
    assert different == [0, 1, 2, 3]
    assert 'PASSWORD = "**************"' in sent


@pytest.mark.parametrize("marked", PATTERNS)
def test_a_pattern_alone(marked):
    text, secrets = parts(marked)
    clean = redact.text(text)
    assert [secret for secret in secrets if secret in clean] == []
    assert redact.text(clean) == clean
    for data in (text.encode(), b"\x0a" + bytes([len(text) & 127] * 2) + text.encode() + b"\x16\x05"):
        assert redact.suspicious(data, 0, len(data))


@pytest.mark.parametrize("text", INNOCENT)
def test_an_innocent_text_alone(text):
    assert redact.text(text) == text


def test_every_name_that_the_recorder_knows_counts_in_a_text():
    source = (Path(__file__).parents[2] / "native" / "redact.c").read_text()
    lists = re.findall(r"\*const (?:SENSITIVE|ENDINGS|LAST_WORDS)\[\] = \{(.*?)\};", source, re.DOTALL)
    names = [name for found in lists for name in re.findall(r'"(\w+)"', found) if not name[0].isdigit()]
    assert len(names) > 180
    for name in names:
        assert _native.sensitive_name(name)
        text = f"x {name}=hunter2zq y"
        assert redact.text(text).removesuffix(" y") == f"x {name}=<redacted:value>"
        assert redact.suspicious(text.encode(), 0, len(text))


def test_what_is_missing_is_shown():
    for empty in (None, True, False, "", b""):
        assert _native.encode_value({"password": empty})[-2:] != b"\x16\x05"


def test_no_text_takes_long():
    """Linear, so a hostile text of this length is done in far less than the test's time limit."""
    for piece in (
        "4 ",
        "4111 1111 1111 111 ",
        "4111111111111111a",
        "a:",
        "password=",
        "-----BEGIN A",
        "insert into t (",
        "%",
        "a@b.",
    ):
        patterns.text(piece * (20_000 // len(piece)), cut=True)
