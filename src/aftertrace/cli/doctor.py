"""``aftertrace doctor``: what is there, what is missing, and why code is in or out."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from aftertrace.cli import checks, live
from aftertrace.cli.checks import Finding
from aftertrace.errors import AftertraceError, UsageError
from aftertrace.record.program import Program
from aftertrace.record.run import Command, resolve
from aftertrace.settings import Settings, from_environment

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


@click.command("doctor", context_settings={"allow_interspersed_args": False})
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON on stdout.")
@click.option("--live", "watch", is_flag=True, help="What running processes lack: of one SERVICE, or of all.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD ... | PATH|MODULE ... | SERVICE]")
def command(words: tuple[str, ...], *, as_json: bool, watch: bool) -> None:
    """Say whether programs can be recorded here, what is in the way, and what to do.

    With a command: whether it would be recorded. With paths or modules: whether they are user code, and which rule
    says so. With --live: where running processes lose context, and what their recording lacks. Exit code 1 when
    something is bad.
    """
    report = _live(words) if watch else examine(list(words))
    if as_json:
        print(json.dumps(report))
    else:
        _tell(report)
    sys.exit(int(any(finding["state"] == "bad" for finding in report["findings"])))


def _live(words: tuple[str, ...]) -> dict[str, Any]:
    if len(words) > 1:
        raise UsageError("bad-words", "doctor --live takes one service.", "aftertrace doctor --live --json orders")
    return live.examine(Path(from_environment().agent_socket).absolute(), *words)


def examine(words: list[str]) -> dict[str, Any]:
    """The report: ``findings``, ``settings``, ``code``."""
    settings, findings = _settings()
    found: Command | None = None
    try:
        found = resolve(words) if words and shutil.which(words[0]) else None
    except AftertraceError as error:
        findings.append(checks.told(error))
    program = Program(found.python if found else [])
    rules = checks.code_rules(settings, program)
    findings += checks.python()
    findings += checks.recorder(settings, rules)
    findings += checks.agent(settings)
    findings += checks.switched(settings)
    findings += checks.endings()
    findings += checks.server(settings)
    if found:
        findings += checks.command(found, settings)
        words = [word for word in (program.script, program.module, *program.targets()) if word]
    native = all(finding.check != "native" or finding.state == "ok" for finding in findings)
    return {
        "findings": [finding.to_json() for finding in findings],
        "settings": checks.settings_in_force(settings),
        "roots": list(rules.roots),
        "code": checks.why_user(words) if native else [],
    }


def _settings() -> tuple[Settings, list[Finding]]:
    try:
        settings = from_environment()
    except AftertraceError as error:
        return Settings(), [checks.told(error)]
    if not settings.enabled:
        text = "Recording is switched off by AFTERTRACE_ENABLED."
        return settings, [Finding("enabled", "warn", text, "Unset it, or set it to 1.")]
    return settings, []


def _tell(report: dict[str, Any]) -> None:
    for finding in report["findings"]:
        state = click.style(f"{finding['state']:<4}", fg=_COLOURS[finding["state"]])
        click.echo(f"{state}  {finding['check']:<12} {finding['message']}")
        if finding["hint"]:
            click.echo(f"{'':19}{finding['hint']}")
    if "settings" in report:
        _tell_settings(report)


def _tell_settings(report: dict[str, Any]) -> None:
    click.echo("\nsettings in force")
    for setting in report["settings"]:
        value = setting["value"] if setting["value"] not in ("", []) else "-"
        click.echo(f"  {setting['name']:<13} {value!s:<44} {setting['origin']}")
    click.echo(f"  {'user code':<13} under {', '.join(report['roots'])}")
    if report["code"]:
        click.echo("\ncode")
    for entry in report["code"]:
        state = click.style("user", fg="green") if entry["user"] else click.style("not ", fg="yellow")
        click.echo(f"  {state}  {entry['name']}: {entry['rule']}")
