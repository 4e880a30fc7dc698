"""Protocols as small as they get: disks at the machines are, too."""

import lzma

PRESET = 6


def lines(protocol: str) -> list[str]:
    return protocol.splitlines()


def pack(machine: str, lines: list[str]) -> bytes:
    text = "\n".join([machine, *lines])
    return lzma.compress(text.encode(), preset=PRESET)
