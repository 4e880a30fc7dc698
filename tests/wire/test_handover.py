"""The messages of the agent's socket, over real sockets."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.settings import LEVELS
from aftertrace.wire import handover
from aftertrace.wire.handover import Idle, Lines, Message, Ok, Refused, Ring, SetLevel, SourceFile, Status, Switch

TEXT = st.text(max_size=20)
UIDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
RESOURCES = st.dictionaries(
    TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2), max_size=3
)
MESSAGES = st.one_of(
    st.builds(
        Ring,
        UIDS,
        st.integers(1, 1 << 40),
        TEXT,
        st.sampled_from(LEVELS),
        RESOURCES,
        st.lists(TEXT, max_size=3).map(tuple),
    ),
    st.builds(Ok, TEXT),
    st.builds(Refused, TEXT, TEXT),
    st.builds(SourceFile, TEXT, st.binary(max_size=200)),
    st.builds(SetLevel, st.sampled_from(LEVELS), TEXT),
    st.builds(Switch, st.booleans(), TEXT, TEXT),
    st.builds(Idle, st.integers(1, 1 << 40), TEXT, st.lists(TEXT, max_size=3).map(tuple), st.booleans()),
    st.just(Status()),
)


@given(MESSAGES)
def test_a_message_is_one_line_and_comes_back(message: Message) -> None:
    line = handover.encode(message)
    assert line.count(b"\n") == 1
    assert handover.decode(line) == message


@given(st.lists(MESSAGES, max_size=4), st.integers(1, 40))
def test_lines_come_whole_however_the_stream_is_cut(messages: list[Message], size: int) -> None:
    stream = b"".join(map(handover.encode, messages))
    lines, found = Lines(), list[Message]()
    for at in range(0, len(stream), size):
        found += [handover.decode(line) for line in lines.feed(stream[at : at + size])]
    assert found == messages


@given(st.binary(max_size=60) | MESSAGES.map(lambda message: handover.encode(message)[:-8]))
def test_what_is_no_message_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        handover.decode(b"\x00" + line)


GOOD = {"type": "ring", "version": 1, "process_uid": "ab" * 16, "pid": 7, "service": "s", "resource": {}, "argv": []}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "song"},
        {"version": 2},
        {"process_uid": "ab"},
        {"process_uid": "zz" * 16},
        {"process_uid": 5},
        {"pid": 0},
        {"pid": True},
        {"pid": "7"},
        {"service": None},
        {"resource": []},
        {"argv": "x"},
        {"level": "deepest"},
    ],
)
def test_a_ring_whose_fields_are_off_is_refused(change: dict[str, object]) -> None:
    good = {**GOOD, "level": "lines"}
    assert isinstance(handover.decode(json.dumps(good).encode()), Ring)
    with pytest.raises(ValueError):
        handover.decode(json.dumps({**good, **change}).encode())


@pytest.mark.parametrize("data", ["x", "eA=", "eA==\n", "e A==", "é", "=", 5, None])
def test_a_source_that_is_no_base64_is_refused(data: object) -> None:
    with pytest.raises(ValueError):
        handover.decode(json.dumps({"type": "source", "path": "a.py", "data": data}).encode())


def test_a_source_has_a_limit() -> None:
    largest = SourceFile("a.py", bytes(handover.SOURCE_LIMIT))
    assert handover.decode(handover.encode(largest)) == largest
    with pytest.raises(ValueError):
        handover.decode(handover.encode(SourceFile("a.py", largest.data + b"x")))


def test_a_line_has_an_end() -> None:
    lines = Lines()
    assert lines.feed(bytes(handover.LINE_LIMIT)) == []
    with pytest.raises(ValueError):
        lines.feed(b"x")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_descriptor_travels_with_its_message(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    memory = os.memfd_create("ring")
    os.write(memory, b"content")
    ring = Ring("ab" * 16, 7, "s", "lines")
    handover.send(ours, ring, memory)
    os.close(memory)
    data, (descriptor,) = handover.receive(theirs)
    assert handover.decode(data) == ring
    assert os.pread(descriptor, 7, 0) == b"content"
    assert not os.get_inheritable(descriptor)
    handover.drop([descriptor])
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_more_descriptors_than_wanted_are_not_left_open(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(ours, [b"x"], [0] * 50)
    _, descriptors = handover.receive(theirs)
    assert len(descriptors) <= 5
    handover.drop(descriptors)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_message_longer_than_a_socket_takes_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    source = SourceFile("big.py", os.urandom(1 << 20))
    child = os.fork()
    if not child:
        handover.send(ours, source)
        os._exit(0)
    lines, found = Lines(), list[bytes]()
    while not found:
        found = lines.feed(handover.receive(theirs)[0])
    assert handover.decode(found[0]) == source
    os.waitpid(child, 0)


def test_the_other_side_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(OSError):
        handover.send(ours, Status())
    assert handover.receive(ours) == (b"", [])


def test_a_peer_that_answers_and_closes_at_once(tmp_path: Path) -> None:
    """The ring's line went with its descriptor in one piece: nothing more is to be sent."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        with handover.connect(tmp_path / "s", 5) as ours:
            theirs, _ = listening.accept()
            handover.send(theirs, Refused("bad-ring", "no"))
            ours.setblocking(False)
            handover.send(ours, Ring("ab" * 16, 7, "s", "lines"), 0)
            theirs.close()
            assert handover.decode(ours.recv(4096)) == Refused("bad-ring", "no")


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        handover.connect(tmp_path / "none", 1)
