"""The shop's own recordings, as it is and under other names: faults against their ground truth, with healthy checkouts
to compare with, and the healthy ones against the rule that nothing of them may be called wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli.demo.acts import customers, miss
from aftertrace.cli.demo.processes import Shop
from aftertrace.cli.demo.variants import Truth
from aftertrace.show import diff as shown_diff
from aftertrace.show import why as shown
from aftertrace.show.console import Console
from aftertrace.wire.bundle import TraceData

from .compared import GROUP, Requests
from .kept_shop import checkouts, kept_shop, marked

pytestmark = [pytest.mark.whole, pytest.mark.timeout(300)]

HEALTHY, MORE = 20, 4
TRIGGERS = {1: "unhandled-exception", 2: "handled-exception", 5: "unhandled-exception"}
COUPONS = re.compile(r'\["", "", "", [^\]]*\]')  # that the customers of traffic.py have


@dataclass
class Played:
    """What happened in one variant."""

    root: Path
    truths: dict[int, Truth]
    faults: dict[int, TraceData]
    more: list[TraceData]  # of fault 1
    mistyped: TraceData
    healthy: list[TraceData]

    def asked(self, fault: int) -> Requests:
        failing = marked(self.faults[fault], TRIGGERS[fault], self.truths[fault].raised_in)
        return Requests([failing], self.healthy)


@pytest.fixture(scope="module", params=[None, 11, 977], ids=["base", "11", "977"])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with kept_shop(tmp_path_factory.mktemp("shop") / "run", request.param) as (stage, shop):
        customers(shop, HEALTHY)
        healthy = checkouts(stage, HEALTHY)
        assert len(healthy) == HEALTHY
        happened = []
        for number, do in enumerate([*TRIGGERS, "typo"], HEALTHY + 1):
            shop.traffic("fault", str(do)) if do in TRIGGERS else mistype(shop)
            happened.append(checkouts(stage, number)[-1])
        *faults, mistyped = happened
        for _ in range(MORE):
            shop.traffic("fault", "1")
        more = checkouts(stage, HEALTHY + len(happened) + MORE)[-MORE:]
        found = dict(zip(TRIGGERS, faults, strict=True))
        yield Played(shop.variant.root, shop.variant.truths, found, more, mistyped, healthy)


def mistype(shop: Shop) -> None:
    """A customer with a coupon that nobody knows: it takes off nothing, and that is right."""
    text, changed = COUPONS.subn('["NOSUCH"]', (shop.variant.root / "traffic.py").read_text())
    assert changed == 1
    (shop.variant.root / "typo.py").write_text(text)
    command = [sys.executable, "typo.py", "customers", "--count", "1"]
    done = subprocess.run(
        command, env=shop.env, cwd=shop.variant.root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["checkouts"] == {"200": 1}


@pytest.mark.parametrize("fault", TRIGGERS)
def test_ground_truth(played: Played, fault: int) -> None:
    said = played.asked(fault).why()
    assert miss(said, played.truths[fault], played.root) == ""
    assert said["cause"]["status"] == "verified"
    json.dumps(said)


@pytest.mark.parametrize("fault", TRIGGERS)
def test_the_agent_found_it_too(played: Played, fault: int) -> None:
    """What `marked` stands for: the agent kept it for the same reason; with its own words the answer is the same."""
    trace, truth = played.faults[fault], played.truths[fault]
    keeps = [one for one in trace.keeps if (one.trigger, one.service) == (TRIGGERS[fault], truth.raised_in)]
    assert keeps
    assert any(truth.exception in one.reason for one in keeps)
    said = Requests([replace(trace, keeps=keeps)], played.healthy).why()
    assert (miss(said, truth, played.root), said["cause"]["status"]) == ("", "verified")


@pytest.mark.parametrize("fault", TRIGGERS)
def test_siblings_had_other_values_there(played: Played, fault: int) -> None:
    said = played.asked(fault).why()
    (proof,) = said["evidence"]
    assert (proof["kind"], proof["count"]) == ("other-value", proof["of"])
    assert proof["of"] >= (HEALTHY if fault != 2 else 3)
    lines = shown.render(said, Console(120)).split("\n")
    assert len(lines) <= 20
    assert any(proof["says"][:40] in line for line in lines)


def test_the_wrong_answer_of_200(played: Played) -> None:
    said = played.asked(2).why()
    finding: dict[str, Any] = said["finding"]
    assert (finding["exception"], finding["status"], said["request"]["http_status"]) == ("ValueError", 200, 200)
    assert finding["siblings"]["raised"] == 0
    left = next(link for link in said["chain"] if link["says"] == "left in its place")
    assert left["value"]["value"]["scalar"] == 0
    assert any("swallowed here" in link["says"] and "except Exception" in link["source"] for link in said["chain"])


def test_nothing_healthy_is_called(played: Played) -> None:
    """But slow, if the machine was: then it is not verified, and far from what is usual."""
    asked = 0
    for one in played.healthy:
        others = [other for other in played.healthy if other is not one]
        said = Requests([replace(one, keeps=[])], others).why()
        if said["finding"] is None:
            assert said["cause"]["status"] == "unknown"
            asked += 1
        else:
            assert said["finding"]["kind"] == "slow"
            assert said["finding"]["duration_ns"] > 1.5 * said["finding"]["usual"]["p99_ns"]
    assert asked >= len(played.healthy) / 2


@pytest.mark.parametrize("trigger", ["handled-exception", "keep", "sibling"])
def test_a_mistyped_coupon_is_not_called(played: Played, trigger: str) -> None:
    failing = marked(played.mistyped, trigger, played.truths[2].service)
    said = Requests([failing], played.healthy).why()
    assert (said["cause"]["status"], said["cause"]["path"]) == ("unknown", "")


def test_where_it_parts_from_healthy_ones(played: Played) -> None:
    """The first is what came in; the wrong value is among the best that separate, and its line is the truth's."""
    for fault, trait in ((1, "is"), (2, "is"), (5, "made")):
        said, truth = played.asked(fault).diff(), played.truths[fault]
        assert said["first"]["healthy"]["count"] == 0
        assert said["cut"] == []
        wrong = f"{truth.value!r}"
        value = next(one for one in said["differences"] if one["here"] and one["here"]["text"] == wrong)
        assert (value["service"], value["trait"], value["healthy"]["count"]) == (truth.service, trait, 0)
        assert fault == 2 or (value["path"].endswith(truth.path) and value["line"] == truth.line)
        text = shown_diff.render(said, Console(120)).split("\n")
        assert len(text) <= 22
        assert "FIRST DIVERGENCE" in text[2]


def test_healthy_ones_hardly_part(played: Played) -> None:
    """Nothing that sets one of them apart is significant."""
    for one in played.healthy[::4]:
        others = [other for other in played.healthy if other is not one]
        said = Requests([replace(one, keeps=[])], others).diff()
        assert not [one for one in said["differences"] if one["q"] < 0.05]


def test_all_failures_went_to_one_country(played: Played) -> None:
    failing = [marked(one, TRIGGERS[1], played.truths[1].raised_in, GROUP) for one in (played.faults[1], *played.more)]
    said = Requests(failing, played.healthy).why()
    assert miss(said, played.truths[1], played.root) == ""
    argument = next(one for one in said["commonality"] if one["kind"] == "argument")
    assert argument["value"] == f"'{played.truths[1].shown[:2]}'"
    assert argument["says"] in shown.render(said, Console(140)).split("\n")[1]
    assert said["group"]["count"] == len(failing)
    (group,) = (one for one in said["evidence"] if one["kind"] == "group-value")
    assert (group["count"], group["of"]) == (MORE, MORE)
