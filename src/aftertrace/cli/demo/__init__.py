"""``aftertrace demo``."""

from aftertrace.cli.demo.command import command

__all__ = ["command"]
