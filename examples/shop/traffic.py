"""Customers of the shop: real HTTP requests at a moderate rate, and the requests that go wrong.

    python traffic.py customers --count 30          people who buy something, and nothing goes wrong
    python traffic.py fault NUMBER                  the request (or requests) of one fault of the README

Each prints one JSON object: what was asked and what came back. Bounded in count and time.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable
from typing import Any

import httpx

GATEWAY = os.environ.get("GATEWAY_URL", "http://127.0.0.1:8001")
INVENTORY = os.environ.get("INVENTORY_URL", "http://127.0.0.1:8003")
COUNTRIES = ["DE", "FR", "NL", "BE", "DK", "PL", "CZ"]
SMALL_THINGS = ["A-17", "A-18", "B-02", "B-03", "B-07", "C-11", "C-12"]
COUPONS = ["", "", "", "FRIEND10", "AUTUMN5"]
MACHINE = "M-90"
RACED = "A-17"
LIMIT_SECONDS = 60.0
BIG_CART = 120
RACE_BUYERS = 12
RACE_SECONDS = 30.0  # how long to try until two of them meet


class Customer:
    """Somebody with a cart."""

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self.client = client
        self.cart = f"cart-{name}"
        self.recipient = f"{name}@example.org"

    async def put(self, sku: str, quantity: int = 1) -> None:
        body = {"sku": sku, "quantity": quantity}
        (await self.client.post(f"{GATEWAY}/cart/{self.cart}", json=body)).raise_for_status()

    async def look(self) -> Any:
        answer = await self.client.get(f"{GATEWAY}/cart/{self.cart}")
        return answer.raise_for_status().json()

    async def check_out(self, country: str, coupon: str = "", loyalty: str = "") -> httpx.Response:
        body = {
            "cart": self.cart,
            "country": country,
            "recipient": self.recipient,
            "coupon": coupon,
            "loyalty": loyalty,
        }
        return await self.client.post(f"{GATEWAY}/checkout", json=body)


async def customers(client: httpx.AsyncClient, count: int, pause: float) -> dict[str, Any]:
    """One after the other; every third has a loyalty card."""
    chance = random.Random(17)
    statuses: dict[str, int] = {}
    for number in range(count):
        customer = Customer(client, f"h{os.getpid()}-{number}")
        await client.get(f"{GATEWAY}/products", params={"limit": chance.choice([3, 5, 8])})
        for sku in chance.sample(SMALL_THINGS, chance.randint(1, 3)):
            await customer.put(sku, chance.randint(1, 3))
        await customer.look()
        loyalty = f"L-{chance.randrange(10000):04}" if number % 3 == 0 else ""
        answer = await customer.check_out(COUNTRIES[number % len(COUNTRIES)], chance.choice(COUPONS), loyalty)
        statuses[str(answer.status_code)] = statuses.get(str(answer.status_code), 0) + 1
        await asyncio.sleep(pause)
    return {"customers": count, "checkouts": statuses}


async def unserved_country(client: httpx.AsyncClient) -> dict[str, Any]:
    customer = Customer(client, f"unserved{os.getpid()}")
    await customer.put("C-11", 2)
    answer = await customer.check_out("CH", loyalty="L-2210")
    return {"status": answer.status_code}


async def lost_discount(client: httpx.AsyncClient) -> dict[str, Any]:
    customer = Customer(client, f"spring{os.getpid()}")
    await customer.put("A-18")
    before = (await customer.look())["total_cents"]
    answer = await customer.check_out("FR", coupon="SPRING15")
    return {"status": answer.status_code, "before": before, "paid": answer.json()["total_cents"]}


async def big_cart(client: httpx.AsyncClient) -> dict[str, Any]:
    customer = Customer(client, f"office{os.getpid()}")
    await customer.put(SMALL_THINGS[0])
    looks = [(await timed(customer.look()))[0] for _ in range(3)]
    for number in range(1, BIG_CART):
        await customer.put(SMALL_THINGS[number % len(SMALL_THINGS)])
    took, seen = await timed(customer.look())
    return {"status": 200, "took_ms": round(1000 * took), "with_one_ms": round(1000 * sorted(looks)[1]), **seen}


async def timed(answer: Awaitable[Any]) -> tuple[float, Any]:
    """Seconds, and what came."""
    began = time.monotonic()
    seen = await answer
    return time.monotonic() - began, seen


async def last_piece(client: httpx.AsyncClient) -> dict[str, Any]:
    """Many at once want the last piece, until two of them get it."""
    body = {"region": "DE-W1", "wanted": [{"sku": RACED, "quantity": 1}]}
    rounds, left, until = 0, 0, time.monotonic() + RACE_SECONDS
    while left >= 0 and time.monotonic() < until:
        rounds += 1
        await client.put(f"{INVENTORY}/stock", json={"sku": RACED, "pieces": 1})
        buyers = (client.post(f"{INVENTORY}/reserve", json=body) for _ in range(RACE_BUYERS))
        answers = await asyncio.gather(*buyers)
        left = (await client.get(f"{INVENTORY}/stock/{RACED}")).json()["pieces"]
    await client.put(f"{INVENTORY}/stock", json={"sku": RACED, "pieces": 4000})
    sold = sum(answer.status_code == httpx.codes.OK for answer in answers)
    return {"status": 200, "sold": sold, "buyers": RACE_BUYERS, "left": left, "rounds": rounds}


async def machine(client: httpx.AsyncClient) -> dict[str, Any]:
    customer = Customer(client, f"cafe{os.getpid()}")
    await customer.put(MACHINE)
    answer = await customer.check_out("DE", loyalty="L-0815")
    return {"status": answer.status_code, **answer.json()}


async def stocktake(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post(f"{GATEWAY}/stocktake", json={"aisle": "east"})
    return {"status": answer.status_code, **answer.json()}


FAULTS = {
    "1": unserved_country,
    "2": lost_discount,
    "3": big_cart,
    "4": last_piece,
    "5": machine,
    "6": stocktake,
}


async def main(arguments: argparse.Namespace) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT_SECONDS), httpx.AsyncClient(timeout=30) as client:
        if arguments.what == "customers":
            return await customers(client, min(arguments.count, 500), arguments.pause)
        return {"fault": arguments.number, **await FAULTS[arguments.number](client)}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    healthy = commands.add_parser("customers")
    healthy.add_argument("--count", type=int, default=30)
    healthy.add_argument("--pause", type=float, default=0.05, help="seconds between two customers")
    fault = commands.add_parser("fault")
    fault.add_argument("number", choices=sorted(FAULTS))
    return parser


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(parser().parse_args()))) + "\n")
