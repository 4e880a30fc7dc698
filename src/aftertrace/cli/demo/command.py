"""``aftertrace demo``: the shop under the recorder, faults like real ones, and why each of them happened."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aftertrace.cli.demo import acts, story
from aftertrace.cli.demo.acts import Outcome
from aftertrace.cli.demo.processes import DemoFailed, Shop, terminated_cleanly
from aftertrace.cli.demo.stage import RECORDED, Stage
from aftertrace.cli.demo.story import Teller
from aftertrace.cli.demo.variants import Truth
from aftertrace.cli.serve import server_parts
from aftertrace.errors import NotInstalled, UsageError
from aftertrace.show import why
from aftertrace.show.console import console

MOST_SEED = 1 << 31
_PLACE = 28  # columns of a file and line
_OUT = 3  # callers from the line that raises to the service before
TRIES = 3  # of a fault: what was not unusual, or met nobody, on a busy machine is played again


@dataclass(frozen=True, slots=True)
class Options:
    """What to play; ``seed`` of the second variant."""

    directory: Path
    variants: tuple[str, ...]
    seed: int
    keep_running: bool


@click.command("demo")
@click.option("--variant", type=click.Choice(["both", "base", "second"]), default="both", show_default=True,
              help="The shop as it is, a second one with other names and values, or both.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, MOST_SEED), help="Of the second shop; a new one each time by default.")
@click.option("--keep-running", is_flag=True, help="Leave shop and server up at the end, until Ctrl-C.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False),
              help="Keep logs, sources and store here.  [default: a temporary directory]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON on stdout; the story goes to stderr.")
def command(variant: str, seed: int | None, directory: Path | None, *, keep_running: bool, as_json: bool) -> None:
    """Three services and a worker, real traffic, faults; ends with each failure explained.

    Fails unless `why` names the line and the value that are known to be wrong, in both variants.
    """
    _parts()
    names = ("base", "second") if variant == "both" else (variant,)
    stream = sys.stderr if as_json else sys.stdout
    teller = Teller(lambda line: click.echo(line, err=as_json, color=True), console(stream))
    with terminated_cleanly(), _directory(directory) as run:
        options = Options(run, names, secrets.randbelow(MOST_SEED) if seed is None else seed, keep_running)
        outcomes = play(options, teller)
    if as_json:
        click.echo(json.dumps({name: [one.to_json() for one in found] for name, found in outcomes.items()}))


def _parts() -> None:
    """Raises NotInstalled without server or the shop's libraries."""
    server_parts()
    try:
        import fastapi  # noqa: F401, PLC0415 (only to see that it is there)
        import httpx  # noqa: F401, PLC0415
        import huey  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise NotInstalled(
            "no-demo-parts", f"The demo needs {error.name}.", "Install it: pip install 'aftertrace[demo]'."
        ) from None


@contextlib.contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="aftertrace-demo-", ignore_cleanup_errors=True) as name:
            yield Path(name).resolve()
        return
    if wanted.exists() and any(wanted.iterdir()):
        raise UsageError("demo-directory", f"{wanted} is not empty.", "Name a new directory with --dir.")
    wanted.mkdir(parents=True, exist_ok=True)
    yield wanted.resolve()


def play(options: Options, teller: Teller) -> dict[str, list[Outcome]]:
    """Plays the variants one after the other. Raises DemoFailed unless each cause is named."""
    outcomes: dict[str, list[Outcome]] = {}
    with Stage.open(options.directory) as stage:
        teller.title("aftertrace demo")
        teller.says(f"Everything it makes is in {options.directory}.")
        teller.says("Starting server and agent: aftertrace up ...")
        stage.up()
        for name in options.variants:
            shop = _open_shop(stage, name, options.seed, teller)
            outcomes[name] = _play(stage, shop, teller, whole=name == options.variants[0])
            if name != options.variants[-1]:
                _close_shop(stage, shop)
        _result(outcomes, options, teller)
        acts.check([one for found in outcomes.values() for one in found])
        _go_on(stage, outcomes, options, teller)
        if options.keep_running:
            _stay(stage, shop, teller)
    return outcomes


def _open_shop(stage: Stage, name: str, seed: int, teller: Teller) -> Shop:
    if name == "base":
        teller.title("The shop")
        teller.says("Three FastAPI services and a worker on a queue, each in its own process with its own database:")
    else:
        teller.title(f"A second shop, made from seed {seed}")
        teller.says("The same faults under other names, values and line numbers, and an unrelated ERROR log as decoy.")
    shop = stage.shop(name, None if name == "base" else seed)
    for service in shop.services if name == "base" else ():
        started = " ".join(["aftertrace run --service", service["name"], *RECORDED, "-- python", *service["command"]])
        teller.shows(started.format(port=service.get("port", "")))
    before = len(stage.kept())
    answered = acts.customers(shop)
    kept = len(stage.kept()) - before
    statuses = ", ".join(f"{count} times {status}" for status, count in answered.items())
    teller.says(f"{acts.CUSTOMERS} customers check out: {statuses}. Requests kept: {kept or 'none, all went well'}.")
    return shop


def _close_shop(stage: Stage, shop: Shop) -> None:
    """Only the shop's processes: the server goes on."""
    stage.processes.stop_some(list(shop.by_role.values()))


def _play(stage: Stage, shop: Shop, teller: Teller, *, whole: bool) -> list[Outcome]:
    """Makes all faults happen, then asks about each; ``whole``: and shows what was asked and answered.

    Raises DemoFailed if one was not kept.
    """
    outcomes: dict[int, Outcome] = {}
    for tries in range(TRIES):
        todo = [fault for fault in acts.FAULTS if fault not in outcomes or outcomes[fault].abstains]
        if tries and todo:
            teller.says(f"Nothing sure is known of {_numbers(todo)}, as can be on a busy machine. Once more:")
            acts.customers(shop)  # what is usual is known better then
        for one in _round(stage, shop, todo, teller, listed=whole and not tries):
            outcomes[one.truth.fault] = one
            if whole and (not one.abstains or tries == TRIES - 1):
                _tell(stage, one, teller)
    if missing := [fault for fault in acts.FAULTS if fault not in outcomes]:
        raise DemoFailed(
            "demo-not-kept", f"No request was kept because of {_numbers(missing)}.", f"Logs: {stage.processes.logs}"
        )
    return [outcomes[fault] for fault in acts.FAULTS]


def _numbers(faults: list[int]) -> str:
    return f"fault{'s' * (len(faults) > 1)} {', '.join(map(str, faults))}"


def _round(stage: Stage, shop: Shop, faults: list[int], teller: Teller, *, listed: bool) -> Iterator[Outcome]:
    """These faults happen, and are asked about where they were kept."""
    if not faults:
        return
    known = {row["trace_id"] for row in stage.kept()}
    teller.title("What goes wrong")
    happened = []
    for fault in faults:
        happened.append(acts.happen(shop, fault))
        teller.says(story.saw(happened[-1]), f"{fault}  ")
    rows = stage.wait_kept(known, [one.truth for one in happened])
    if listed:
        teller.says("Each was kept by itself, in every service it passed through (only 4's code asked for it: keep()).")
        teller.command(f"{stage.prefix('ls')}aftertrace ls", stage.run("ls", console=teller.shown))
    for one in happened:
        if one.truth.fault in rows:
            yield acts.ask(stage, shop, one, rows[one.truth.fault])


def _tell(stage: Stage, outcome: Outcome, teller: Teller) -> None:
    teller.title(f"Fault {outcome.truth.fault}: {outcome.truth.title}")
    sentence, lines = story.without(outcome.happened)
    teller.says(sentence)
    teller.shows("\n".join(lines))
    teller.says("What was recorded says:")
    teller.command(f"{stage.prefix('why')}aftertrace why {outcome.short}", why.render(outcome.why, teller.shown))
    if outcome.truth.fault == 1:
        _steps(stage, outcome, teller)


def _steps(stage: Stage, outcome: Outcome, teller: Teller) -> None:
    """From where it was raised, back over the HTTP calls, to where the wrong value was made."""
    failure, cause = outcome.why["failure"]["address"], outcome.why["cause"]
    teller.says("Step through it: back from the line that raised, out over the HTTP call, then to the cause.")
    words = ["where", *["reverse-out"] * _OUT, f"goto {cause['address']}"]
    words += [f"print {cause['name']}"] if cause.get("name") else []
    typed = "\n".join(words) + "\n"
    output = stage.run("step", outcome.trace_id, "--at", failure, stdin=typed, console=teller.shown)
    shown = f"{stage.prefix('step')}aftertrace step {outcome.short} --at {failure}"
    teller.command(f"{shown}   # then: {'; '.join(words)}", output)


def _result(outcomes: dict[str, list[Outcome]], options: Options, teller: Teller) -> None:
    teller.title("Ground truth against `why --json`")
    for name, found in outcomes.items():
        teller.says("In the shop:" if name == "base" else f"In the second shop (seed {options.seed}):")
        for one in found:
            verdict = teller.console.bad("WRONG") if one.problem else teller.console.good("ok   ")
            place = f"{one.truth.path}:{one.truth.line}"
            teller.shows(f"{verdict}  {one.truth.fault}  {place:<{_PLACE}}  {_wrong(one.truth)}")
            if one.problem:
                teller.shows(f"          {one.problem}")


def _wrong(truth: Truth) -> str:
    """The line that is known to be wrong, and the value where there is one."""
    return f"{truth.source}   {truth.name} = {json.dumps(truth.value)}" if truth.name else truth.source


def _go_on(stage: Stage, outcomes: dict[str, list[Outcome]], options: Options, teller: Teller) -> None:
    first = next(iter(outcomes.values()))[0]
    teller.title("Go on by yourself")
    reference = first.short if options.keep_running else "ID"
    if not options.keep_running:
        teller.says("All of it ends now; `aftertrace demo --keep-running` leaves it up. Then, in another terminal:")
    for words in ("ls", f"why {reference}", f"show {reference}", f"step {reference} --at cause", "status", "doctor"):
        teller.shows(f"{stage.prefix(words)}aftertrace {words}")
    teller.says("Your own program:  aftertrace up   and   aftertrace run --service NAME -- python app.py")


def _stay(stage: Stage, shop: Shop, teller: Teller) -> None:
    teller.title("Running until Ctrl-C")
    rows: list[tuple[str, Any]] = [("server", stage.settings.server), *shop.urls.items()]
    for name, url in rows:
        teller.says(f"{name:8} {url}")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    teller.says("Ending everything ...")
