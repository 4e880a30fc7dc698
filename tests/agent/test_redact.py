"""Secrets by pattern: found in texts, values and records; what is none stays as it is."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.agent import redact
from aftertrace.model import Missing, Value, ValueKind
from aftertrace.wire import records

JWT = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "HS256"}, {"sub": "1234567890", "name": "Ann"})
)
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    ("4111111111111111", "<redacted:card>"),
    ("4111 1111 1111 1111", "<redacted:card>"),
    ("378282246310005", "<redacted:card>"),
    ("card 5555-5555-5555-4444 123 12/27", "card <redacted:card> 123 12/27"),
    ("1 4111 1111 1111 1111", "1 <redacted:card>"),
    ("12 4111111111111111, 6011111111111117", "12 <redacted:card>, <redacted:card>"),
    ("Authorization: Bearer abcDEF123.456-x", "Authorization: Bearer <redacted:bearer>"),
    (f"token={JWT}.c2lnbmF0dXJl&x=1", "token=<redacted:jwt>&x=1"),
    (f"Bearer {JWT}.c2lnbmF0dXJl", "Bearer <redacted:bearer>"),
    (JWT, "<redacted:jwt>"),
    (f"a {KEY} b", "a <redacted:private-key> b"),
    (KEY[:50], "<redacted:private-key>"),
    ("postgresql://ann:s3cr@t@db:5432/x", "postgresql://<redacted:credentials>@db:5432/x"),
    ("redis://:pw@cache", "redis://<redacted:credentials>@cache"),
    ("mail ann.b+c@mail.example.co.uk!", "mail <redacted:email>!"),
]
PLAIN = [
    "4111111111111112",
    "1795553679512179734",
    "41111111111111111111111",
    "0.4111111111111111",
    "2026-11-24 20:39:23.123456",
    "550e8400-e29b-41d4-a716-446655440000",
    "http://localhost:8080/a?b=c",
    "http://host:80/x?mail=1",
    "the bearer of news",
    "user@localhost",
    "@decorator",
    "eyJ",
    "0000000000000000",
    "-----BEGIN CERTIFICATE-----",
]


@pytest.mark.parametrize(("text", "clean"), SECRETS)
def test_secrets_are_replaced(text, clean):
    assert redact.text(text) == clean
    assert redact.text(clean) == clean
    data = text.encode()
    assert redact.suspicious(data, 0, len(data))


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text):
    assert redact.text(text) == text


@given(st.text(max_size=30), st.sampled_from(SECRETS), st.text(max_size=30))
def test_whatever_is_changed_was_suspicious(before, secret, after):
    text = before + secret[0] + after
    data = text.encode("utf-8", "surrogatepass")
    if redact.text(text) != text:
        assert redact.suspicious(data, 0, len(data))


def text_value(text, size=None):
    size = len(text) if size is None else size
    return Value(ValueKind.SCALAR, "str", text, size=size, missing=Missing.SIZE if size > len(text) else None)


def test_values_are_cleaned_however_deep_and_keep_their_shape():
    card, clean = text_value("4111111111111111"), text_value("<redacted:card>")
    inner = Value(ValueKind.MAPPING, "dict", entries=((card, card),), size=1, identity=4)
    error = Value(ValueKind.EXCEPTION, "ValueError", items=(card,), attributes=(("note", inner),), identity=5, size=1)
    value = Value(ValueKind.SUBCLASS, "Order", items=(error,), identity=6)
    found = redact.value(value)
    assert found.items[0].items == (clean,)
    assert found.items[0].attributes[0][1].entries == ((clean, clean),)
    assert (found.identity, found.items[0].identity, found.items[0].attributes[0][1].identity) == (6, 5, 4)
    data = Value(ValueKind.SCALAR, "bytes", b"\xff Bearer abcdefg7", size=16)
    assert redact.value(data).scalar == b"\xff Bearer <redacted:bearer>"


def test_a_text_that_was_cut_stays_cut():
    found = redact.value(text_value("mail ann@example.org and then", 300))
    assert (found.scalar, found.missing) == ("mail <redacted:email> and then", Missing.SIZE)
    assert found.size - len(found.scalar) == 300 - len("mail ann@example.org and then")


SECRET = text_value("ann@example.org")
RECORDS = [
    records.Start(10, 0, 1, 2, 0, -1, ((0, SECRET),)),
    records.Line(0, 0, 1, 2, ((0, SECRET),)),
    records.Return(10, 0, 1, 2, SECRET, ((0, SECRET),)),
    records.Raise(10, 0, 1, 2, 3, Value(ValueKind.EXCEPTION, "E", items=(SECRET,), size=1)),
    records.Unwind(10, 0, 1, 2, 3, ((0, SECRET),)),
    records.FrameState(0, 0, 1, 2, 0, 3, ((0, SECRET),)),
    records.SpanStart(
        10, 0, "ab" * 8, "cd" * 16, "", 2, 1, False, 0, "to ann@example.org", "s", (("k", SECRET),),
        (("cd" * 16, "ab" * 8, (("k", SECRET),)),),
    ),
    records.SpanAttr(0, 0, "ab" * 8, (("k", SECRET),)),
    records.SpanEventRecord(10, 0, "ab" * 8, 0, "ann@example.org", (("k", SECRET),)),
    records.SpanStatus(0, 0, "ab" * 8, 2, "ann@example.org"),
    records.SpanName(0, 0, "ab" * 8, "ann@example.org"),
    records.Log(10, 0, 9, "l", SECRET, Value(ValueKind.SEQUENCE, "list", items=(SECRET,), size=1), "f", 1, "g", SECRET),
    records.KeepRecord(10, 0, "ann@example.org", (("k", SECRET),)),
    records.GapRecord(10, 0, 3, 1, "ann@example.org"),
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind.name)
def test_each_kind_of_record_is_cleaned_and_nothing_else_of_it_changes(record):
    data = records.encode(record, 0)
    clean = redact.record(data)
    assert b"example" not in clean
    (before,), (after,) = records.decode(data, base_ticks=0), records.decode(clean, base_ticks=0)
    assert repr(after) == repr(before).replace("ann@example.org", "<redacted:email>").replace("size=15", "size=16")


def test_a_record_that_cannot_be_read_does_not_leave():
    assert redact.record(records.encode(RECORDS[0], 0)[:-3]) == b""


def test_a_record_that_becomes_too_large_is_a_gap():
    many = tuple((n % 100, text_value("a@bc.de")) for n in range(5000))
    (found,) = records.decode(redact.record(records.encode(records.Line(0, 0, 1, 2, many), 0)), base_ticks=0)
    assert (found.kind, found.reason) == (records.Kind.GAP, 5)
