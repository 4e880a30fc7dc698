"""The shop without aftertrace: it works, and each of its faults shows as the README says."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from aftertrace.cli.demo.processes import Shop

from .conftest import wait_for_text

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def shop(start_bare: Callable[[int | None], Shop]) -> Shop:
    return start_bare(None)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_customers_are_served_and_invoiced(shop: Shop) -> None:
    assert shop.traffic("customers", "--count", "9", "--pause", "0") == {"customers": 9, "checkouts": {"200": 9}}
    turnover = get(f"{shop.urls['front']}/countries")
    assert set(turnover) == {"DE", "FR", "NL", "BE", "DK", "PL", "CZ"}
    assert all(cents > 0 for cents in turnover.values())
    assert wait_for_text(shop.by_role["queue"].log, "executed in", times=9).count("executed in") == 9
    with sqlite3.connect(shop.data / "worker.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM invoices").fetchone() == (9,)
    connection.close()


def test_each_service_has_its_own_database(shop: Shop) -> None:
    names = {path.name for path in shop.data.glob("*.sqlite")}
    assert {"gateway.sqlite", "orders.sqlite", "inventory.sqlite", "queue.sqlite"} <= names


def test_no_copy_that_runs_says_where_the_fault_is(shop: Shop) -> None:
    texts = [path.read_text() for path in shop.variant.root.rglob("*.py") if path.name != "traffic.py"]
    assert len(texts) > 25
    assert not [text for text in texts if "fault:" in text or "decoy:" in text]


def test_1_an_exception_two_services_down(shop: Shop) -> None:
    assert shop.traffic("fault", "1")["status"] == 500
    assert "KeyError: 'CH-'" in wait_for_text(shop.by_role["back"].log, "KeyError")
    assert "httpx.HTTPStatusError: Server error '500" in wait_for_text(shop.by_role["middle"].log, "HTTPStatusError")
    assert "httpx.HTTPStatusError: Server error '500" in wait_for_text(shop.by_role["front"].log, "HTTPStatusError")


def test_2_a_swallowed_exception_and_a_wrong_200(shop: Shop) -> None:
    report = shop.traffic("fault", "2")
    assert report["status"] == 200
    assert report["paid"] == report["before"] == 4400  # 15 % should have come off


def test_3_one_query_for_each_position(shop: Shop) -> None:
    report = shop.traffic("fault", "3")
    assert report["positions"] == 120
    assert report["total_cents"] > 0


def test_4_oversold(shop: Shop) -> None:
    report = shop.traffic("fault", "4")
    assert report["left"] < 0, report
    assert "A-17 is oversold: -" in wait_for_text(shop.by_role["back"].log, "oversold")


def test_5_a_poison_message(shop: Shop) -> None:
    report = shop.traffic("fault", "5")
    assert (report["status"], report["total_cents"]) == (200, 124900)
    log = wait_for_text(shop.by_role["queue"].log, "InvalidOperation")
    assert "decimal.InvalidOperation: [<class 'decimal.ConversionSyntax'>]" in log
    assert "1,249.00" not in log  # the log does not give the value away


def test_6_killed_in_the_middle_of_a_request(shop: Shop) -> None:
    victim = shop.by_role["back"]
    report = shop.kill_in_request()
    assert report["status"] == 502
    assert victim.popen.poll() == -9
    assert (shop.data / "stocktake.csv").read_text().splitlines()[-1].startswith("E2,")
    assert "Traceback" not in victim.log_text().split("oversold")[-1]
