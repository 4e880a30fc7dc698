"""``aftertrace bench``."""

from aftertrace.cli.bench.command import command

__all__ = ["command"]
