"""Asks for releases, and whether one is known to be dangerous."""

import logging
import os

import httpx

import aftertrace

log = logging.getLogger(__name__)
FIRMWARE_URL = os.environ.get("FIRMWARE_URL", "http://127.0.0.1:8002")
RECALLS_URL = os.environ.get("RECALLS_URL", "http://127.0.0.1:8003")
client = httpx.Client(timeout=15)


def latest(model: str) -> str:
    answer = client.get(f"{FIRMWARE_URL}/models/{model}/latest")
    answer.raise_for_status()
    return str(answer.json()["version"])


def check(model: str, serial: str, version: str) -> None:
    answer = client.get(f"{RECALLS_URL}/models/{model}/versions/{version}")
    answer.raise_for_status()
    if answer.json()["recalled"]:
        log.warning("%s stays on %s, which is recalled", serial, version)
        aftertrace.keep("recalled release stays")
