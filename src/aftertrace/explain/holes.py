"""What of a request was not recorded, as subjects: a query that may hold in one of them is not answered by the rest."""

from __future__ import annotations

from collections.abc import Iterator

from aftertrace.explain import coverage
from aftertrace.explain.subjects import Hole, Known
from aftertrace.explain.world import World
from aftertrace.reconstruct import levels

_LOST = {
    coverage.PARTLY: "part of `{}` had already been overwritten",
    coverage.OVERWRITTEN: "`{}` had already overwritten it",
    coverage.SILENT: "the agent of `{}` did not answer",
}


def of(world: World) -> list[Hole]:
    """In the order: services, gaps, what was shed."""
    return [*_services(world), *_gaps(world), *_shed(world)]


def _services(world: World) -> Iterator[Hole]:
    execution = world.execution
    resources = {span.service: span.resource for span in execution.spans.values()}
    for one in coverage.services(execution):
        if one.state in _LOST:
            yield Hole(world, _LOST[one.state].format(one.service), Known(service=one.service), of_spans=True)
        elif one.state == coverage.NO_AGENT and one.service in resources:
            resource = resources[one.service]
            if resource.attributes.get("telemetry.sdk.language", "python") == "python":  # else it has no code of ours
                yield Hole(world, f"`{one.service}` is not recorded", Known(resource, one.service))
    for process in execution.processes:
        if process.level == "spans":
            yield Hole(world, f"`{process.service}` records spans only", Known(process.resource))


def _gaps(world: World) -> Iterator[Hole]:
    execution = world.execution
    for gap in execution.gaps:
        known = Known(execution.processes[gap.process].resource) if gap.process >= 0 else Known()
        of = f" of `{execution.processes[gap.process].service}`" if gap.process >= 0 else ""
        yield Hole(world, f"{gap.reason}{of}", known)


def _shed(world: World) -> Iterator[Hole]:
    execution = world.execution
    for one in execution.shed:
        resource = execution.processes[one.process].resource
        known = Known(resource, function=one.function, path=one.path)
        yield Hole(world, levels.of_shed(one), known)
