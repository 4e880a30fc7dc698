"""Sensitive names hide their values wherever the name stands: not one byte of them is written."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_decoder import decode, records_of, ring_of

from aftertrace import _native

SECRET = "hunter2-hunter2"
SENSITIVE = """
    password PASSWORD passwd db_password userPassword user-password Password1 password_confirmation secret
    client_secret clientSecret aws_secret_access_key token access_token accessToken id.token X-Auth-Token
    csrf_token apikey api_key x-api-key X-API-Key Authorization Proxy-Authorization cookie Set-Cookie session_id
    credentials private_key ssn cvv card_number pin otp jwt mysql_pwd _Account__password _Account__pin dsn
    passphrase auth
""".split()  # noqa: SIM905 (a list of this length is easier to read so)
HARMLESS = """
    token_count max_tokens tokens tokenizer password_policy secretary cookie_count author authority key keys name
    pinned spinning session user keyboard next_page_token passenger compass id passed authorized has_password
    monkey primary_key foreign_key shipping
""".split()  # noqa: SIM905 (a list of this length is easier to read so)


def holders(name: str) -> list[Any]:
    kind = type("Holder", (), {})
    instance = kind()
    instance.__dict__[name] = SECRET
    return [
        {name: SECRET},
        {name.encode(): SECRET.encode()},
        instance,
        (name, SECRET),
        [name.encode(), SECRET.encode()],
        [{"headers": [(name.encode(), SECRET.encode())]}],
        {"outer": {"inner": {name: SECRET}}},
        {name: {"nested": [SECRET]}},
        type("SubDict", (dict,), {})({name: SECRET}),
        {type("SubStr", (str,), {})(name): SECRET},
    ]


@pytest.mark.parametrize("name", SENSITIVE)
def test_sensitive_names(name: str) -> None:
    for holder in holders(name):
        data = _native.encode_value(holder, depth=6)
        assert SECRET.encode() not in data, holder
        assert b"\x16\x05" in data


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_names(name: str) -> None:
    for holder in holders(name):
        assert SECRET.encode() in _native.encode_value(holder, depth=6), holder


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SENSITIVE[:30]), st.data())
def test_spelling_does_not_matter(name: str, data: st.DataObject) -> None:
    letters = []
    for letter in name:
        letters.append(letter.upper() if data.draw(st.booleans()) else letter)
        letters.append(data.draw(st.sampled_from(["", "", "", "_", "-", ".", " "])))
    assert decode(_native.encode_value({"".join(letters): SECRET})).entries[0][1].tag == "REDACTED"


def test_slots_and_named_tuples() -> None:
    class Account:
        __slots__ = ("__pin", "password", "user")

        def __init__(self) -> None:
            self.user, self.password, self.__pin = "u", SECRET, SECRET

    class Row(NamedTuple):
        user: str
        password: str
        note: str

    for value in (Account(), Row("u", SECRET, "n")):
        assert SECRET.encode() not in _native.encode_value(value)


def test_exception_attributes() -> None:
    error = ValueError("no")
    error.token = SECRET  # type: ignore[attr-defined]
    assert SECRET.encode() not in _native.encode_value(error)


def test_names_beyond_ascii_and_very_long_ones() -> None:
    assert decode(_native.encode_value({"пароль": SECRET})).entries[0][1].value == SECRET
    assert decode(_native.encode_value({"é_password": SECRET})).entries[0][1].tag == "REDACTED"
    assert decode(_native.encode_value({"x" * 500 + "_password": SECRET}, text=9000)).entries[0][1].tag == "REDACTED"
    assert decode(_native.encode_value({b"x" * 500 + b"_password": SECRET}, text=9000)).entries[0][1].tag == "REDACTED"


def test_spans_and_keep(tmp_path: Any) -> None:
    ring = ring_of(
        """
        s = n.Span("s", 1, None, {"http.request.header.authorization": "hunter2-hunter2", "user": "u"})
        s.set_attribute("db.password", "hunter2-hunter2")
        s.add_event("e", {"token": "hunter2-hunter2"})
        n.keep("k", {"api_key": "hunter2-hunter2"})
        n.log(9, "l", "m", ({"password": "hunter2-hunter2"},), "f", 1, "fn", None)
        """,
        tmp_path / "ring",
    )
    assert SECRET.encode() not in ring.read_bytes()
    start = next(r for r in records_of(ring) if r["record"] == "START")
    assert start["attrs"]["http.request.header.authorization"].tag == "REDACTED"
    assert start["attrs"]["user"].value == "u"
