"""What the failures of a group have in common, and how many are hit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from aftertrace.model import Resource
from aftertrace.show import why as shown
from aftertrace.show.console import Console
from aftertrace.wire.bundle import Group, TraceData

from ..reconstruct.services import SHOP, Services, running
from .compared import GROUP, Requests, requests

COUNTRIES = ["DE", "FR"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("commonality"), SHOP) as services:
        yield services


def to(country: str, count: int) -> list[dict[str, Any]]:
    return [{"country": country, "pieces": [n % 3 + 1, n]} for n in range(count)]


@pytest.fixture(scope="module")
def failing(shop: Services) -> Requests:
    """Six to a country without a zone, twelve to others; orders of the failing ones runs a newer version."""
    found = requests(shop, to("CH", 6), [one for country in COUNTRIES for one in to(country, 6)])
    found.failing = [versioned(one, "2.14.0") for one in found.failing]
    found.healthy = [versioned(one, "2.13.2") for one in found.healthy]
    return found


def versioned(trace: TraceData, version: str) -> TraceData:
    spans = [
        replace(span, resource=Resource({**span.resource.attributes, "service.version": version}))
        if span.service == "orders"
        else span
        for span in trace.spans
    ]
    return replace(trace, spans=spans)


def says(said: dict[str, Any]) -> list[str]:
    return [one["says"] for one in said["commonality"]]


def test_every_one_has_it(failing: Requests) -> None:
    said = failing.why()
    assert "every one country = 'CH'" in says(said)
    country = next(one for one in said["commonality"] if one["name"] == "country")
    assert (country["failing"], country["healthy"]) == ({"count": 6, "of": 6}, {"count": 0, "of": 12})
    assert country["p"] == pytest.approx(1 / 18564)  # 18 over 6
    assert country["p"] < country["q"] < 0.05


def test_a_version_before_which_there_was_none(failing: Requests) -> None:
    assert "none before orders 2.14.0" in says(failing.why())
    mixed = Requests(failing.failing, [*failing.healthy, versioned(_later(failing), "2.13.2")])
    assert "only on orders 2.14.0" in says(mixed.why())


def _later(failing: Requests) -> TraceData:
    """A healthy request of the older version, after the first failing one."""
    one = failing.healthy[0]
    moved = max(span.start_ns for trace in failing.failing for span in trace.spans)
    spans = [replace(span, trace_id="e" * 32, start_ns=moved, end_ns=moved + 1000) for span in one.spans]
    return TraceData(trace_id="e" * 32, spans=spans)


def test_too_few_say_nothing(failing: Requests) -> None:
    for count in (1, 2):
        assert Requests(failing.failing[:count], failing.healthy).why()["commonality"] == []
    assert Requests(failing.failing, []).why()["commonality"] == []


def test_what_healthy_ones_have_too_is_not_told(shop: Services) -> None:
    """All went to DE: that the failing ones did says nothing. What they were sent with does."""
    bad = [{"country": "DE", "pieces": [None]} for _ in range(5)]
    said = requests(shop, bad, to("DE", 10)).why()
    assert not any("country" in one for one in says(said))


def test_chance_is_not_told(shop: Services) -> None:
    """Three against three: nothing can pass the correction for all that was compared."""
    found = requests(shop, to("CH", 3), to("DE", 3))
    assert found.why()["commonality"] == []


def test_impact(failing: Requests) -> None:
    failing.count = 41
    said = failing.why()
    failing.count = 0
    first = min(keep.time_ns for one in failing.failing for keep in one.keeps)
    assert said["group"] == {**said["group"], "id": GROUP, "count": 41, "kept": 6, "first_ns": first}
    assert said["impact"] == {**said["impact"], "requests": 41, "routes": ["POST /x"], "elsewhere": []}
    text = shown.render(said, Console(140)).split("\n")
    assert text[1].startswith(f"group {GROUP[:8]}: 41x since ")
    assert "every one country = 'CH'" in text[1]
    assert len(text) <= 20


def test_the_same_failure_elsewhere(failing: Requests) -> None:
    class Two(Requests):
        def groups(self, since_ns: int, until_ns: int, limit: int) -> list[Group]:
            (own,) = super().groups(since_ns, until_ns, limit)
            return [own, replace(own, id="f" * 16, routes=["POST /quote"], count=3)]

    said = Two(failing.failing, failing.healthy).why()
    assert said["impact"]["elsewhere"] == [{"id": "f" * 16, "count": 3, "routes": ["POST /quote"]}]
    assert "the same on another route" in shown.render(said, Console(160)).split("\n")[1]


def test_without_a_group(shop: Services) -> None:
    found = requests(shop, to("CH", 1), to("DE", 2))
    found.failing = [replace(one, keeps=[]) for one in found.failing]
    said = found.why()
    assert (said["group"], said["impact"], said["commonality"]) == (None, None, [])
    assert "group " not in shown.render(said, Console(120)).split("\n")[1]
