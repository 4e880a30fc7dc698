"""``aftertrace demo``: the shop under the recorder, faults like real ones, and why each of them happened."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aftertrace.cli.demo import acts, story
from aftertrace.cli.demo.acts import Outcome
from aftertrace.cli.demo.processes import Shop, terminated_cleanly
from aftertrace.cli.demo.stage import Stage
from aftertrace.cli.demo.story import Teller
from aftertrace.cli.serve import server_parts
from aftertrace.errors import NotInstalled, UsageError

EXPLAINED = (1, 5, 6)
MOST_SEED = 1 << 31
_OUT = 3  # callers from the line that raises to the service before
_ABOUT = {
    1: "Somebody in a country that the shop does not serve checks out.",
    5: "Somebody buys the expensive machine. The shop says 200, and the worker fails later.",
    6: "A stocktake waits, and the process that does it is killed (SIGKILL).",
}


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
    teller = Teller(lambda line: click.echo(line, err=as_json))
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
            tell = _tell_whole if name == options.variants[0] else _tell_short
            outcomes[name] = [_act(stage, shop, fault, teller, tell) for fault in EXPLAINED]
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
        teller.says("Three FastAPI services and a worker on a queue, each in its own process with its own database.")
        teller.says("Six faults are built in; 1, 5 and 6 can be explained so far.")
    else:
        teller.title(f"A second shop, made from seed {seed}")
        teller.says("The same faults under other names, values and line numbers, and an unrelated ERROR log as decoy.")
    shop = stage.shop(name, None if name == "base" else seed)
    for service in shop.services:
        started = f"aftertrace run --service {service['name']} --level lines --budget 100% -- python"
        teller.says(f"{started} {' '.join(service['command'])}".format(port=service.get("port", "")))
    teller.says(f"{acts.CUSTOMERS} customers buy something ...")
    before = len(stage.kept())
    answered = acts.customers(shop)
    kept = len(stage.kept()) - before
    teller.says(
        f"Checkouts by status: {json.dumps(answered)}. Requests kept meanwhile: {kept or 'none, all went well'}."
    )
    return shop


def _close_shop(stage: Stage, shop: Shop) -> None:
    """Only the shop's processes: the server goes on."""
    stage.processes.stop_some(list(shop.by_role.values()))


type Tell = Callable[[Stage, Shop, Outcome, Teller], None]


def _act(stage: Stage, shop: Shop, fault: int, teller: Teller, tell: Tell) -> Outcome:
    teller.title(f"Fault {fault}: {shop.variant.truths[fault].title}")
    teller.says(_ABOUT[fault])
    outcome = acts.play(stage, shop, fault)
    triggers = sorted({one["trigger"] for one in outcome.row["triggers"]})
    status = outcome.report.get("status")
    teller.says(f"The customer saw {status}. Kept as {outcome.short}, because of: {', '.join(triggers)}.")
    tell(stage, shop, outcome, teller)
    if fault == 6:
        _restart(shop, teller)
    return outcome


def _restart(shop: Shop, teller: Teller) -> None:
    killed = next(service for service in shop.services if service["role"] == "back")
    teller.says(f"{killed['name']} is started again.")
    shop.restart("back")


def _tell_whole(stage: Stage, shop: Shop, outcome: Outcome, teller: Teller) -> None:
    _stack_trace(shop, outcome, teller)
    teller.says("What was recorded says:")
    teller.command(f"{stage.prefix('why')}aftertrace why {outcome.short}", stage.run("why", outcome.trace_id))
    if outcome.truth.fault == 1:
        _steps(stage, outcome, teller)


def _tell_short(stage: Stage, _: Shop, outcome: Outcome, teller: Teller) -> None:
    teller.command(f"{stage.prefix('why')}aftertrace why {outcome.short}", stage.run("why", outcome.trace_id))


def _stack_trace(shop: Shop, outcome: Outcome, teller: Teller) -> None:
    """What a person would have had without a recording."""
    truth = outcome.truth
    name = truth.raised_in or truth.service
    log = next(one for one in shop.by_role.values() if one.name == name).log_text()
    trace = story.last_traceback(log) if truth.raised_in else []
    if trace:
        teller.says(f"The stack trace alone, from {name}'s log:")
        teller.shows("\n".join(trace))
    else:
        teller.says(f"There is no stack trace: {name} was killed. The last lines of its log:")
        teller.shows("\n".join(log.rstrip().splitlines()[-3:]))


def _steps(stage: Stage, outcome: Outcome, teller: Teller) -> None:
    """From where it was raised, back over the HTTP calls, to where the wrong value was made."""
    why = outcome.why
    teller.says("Step through it: back from the line that raised, out over the HTTP call, then to the cause.")
    at = ["step", outcome.trace_id, "--at", why["failure"]["address"]]
    words = ["where", *["reverse-out"] * _OUT, f"goto {why['cause']['address']}", "next"]
    words += [f"print {why['cause']['name']}"] if why["cause"].get("name") else []
    output = stage.run(*at, stdin="\n".join(words) + "\n")
    shown = f"{stage.prefix('step')}aftertrace step {outcome.short} --at {why['failure']['address']}"
    teller.command(f"{shown}   # then: {'; '.join(words)}", output)


def _result(outcomes: dict[str, list[Outcome]], options: Options, teller: Teller) -> None:
    teller.title("Ground truth against `why --json`")
    for name, found in outcomes.items():
        shop = "the shop" if name == "base" else f"the second shop (seed {options.seed})"
        for one in found:
            verdict = click.style("ok   ", fg="green") if not one.problem else click.style("WRONG", fg="red")
            truth = one.truth
            teller.says(f"{verdict} fault {truth.fault} in {shop}: {truth.service} {truth.path}:{truth.line}")
            if one.problem:
                teller.says(f"      {one.problem}")


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
