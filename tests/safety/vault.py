"""What the planted programs use and nobody records: it gives secrets out, and makes things that hold them."""

import collections
import http.cookies
import os
import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel, SecretBytes, SecretStr

from aftertrace import _native

SPANS = []


def take(number):
    return f"hunter2-{number:03d}-zq"


def fail():
    raise LookupError("on purpose")


def log(message, *args):
    _native.log(9, "app", message, args, "app.py", 1, "case", None)


def span_attribute(name, value):
    SPANS[-1].set_attribute(name, value)


def event_attribute(name, value):
    SPANS[-1].add_event("event", {name: value})


def keep_attribute(name, value):
    _native.keep("planted", {name: value})


class Box:
    def __init__(self, value):
        self.value = value


class Text(str):
    __slots__ = ()


Secretive = type("SecretValue", (Box,), {})
Named = type("Secret", (str,), {})


class Heir(SecretStr):
    pass


class Sub(dict):
    pass


class Slotted:
    __slots__ = ("password", "user")

    def __init__(self, user, value):
        self.user, self.password = user, value


@dataclass(frozen=True, slots=True)
class Frozen:
    user: str
    api_key: str


class Row(NamedTuple):
    user: str
    password: str


class Model(BaseModel):
    name: str
    password: str


def with_attribute(name, value):
    box = Box("innocent")
    box.__dict__[name] = value
    return box


def failed_with(value):
    error = ValueError("no")
    error.token = value
    return error


def http_cookie(name, value):
    cookie = http.cookies.SimpleCookie()
    cookie[name] = value
    return cookie


def database_row(value):
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT 'ann' AS name, ? AS password", (value,)).fetchone()
    connection.close()
    return row


def remembered(name, value):
    os.environ[name] = value
    return os.environ


__all__ = [
    "Box", "Frozen", "Heir", "Model", "Named", "Row", "SecretBytes", "SecretStr", "Secretive", "Slotted", "Sub", "Text",
    "collections", "database_row", "event_attribute", "fail", "failed_with", "http_cookie", "keep_attribute", "log",
    "remembered", "span_attribute", "take", "with_attribute",
]  # fmt: skip
