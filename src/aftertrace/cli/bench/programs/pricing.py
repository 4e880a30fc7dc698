"""FastAPI and half a millisecond to one of plain Python: an order is read, priced, taxed, summed up and written out."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from fastapi import FastAPI

from .tick import tick

app = FastAPI()

LINES = 60
KINDS = ("book", "tool", "food", "toy")
TAX = {"book": Decimal("0.07"), "tool": Decimal("0.19"), "food": Decimal("0.07"), "toy": Decimal("0.19")}
STEPS = ((80, Decimal("0.10")), (50, Decimal("0.05")), (20, Decimal("0.02")), (0, Decimal(0)))
CENT = Decimal("0.01")
SKU = re.compile(r"([A-Z])-(\d{3})")
FIRST_DAY = date(2026, 1, 1)


@dataclass(slots=True)
class Line:
    sku: str
    kind: str
    quantity: int
    price: Decimal


def written(seed: int) -> str:
    rows = []
    for position in range(LINES):
        kind = KINDS[(seed + position) % len(KINDS)]
        quantity = (seed * 7 + position * 3) % 9 + 1
        rows.append(f"{kind[0].upper()}-{position:03}; {kind}; {quantity}; {position * 37 % 5000 / 100 + 2:.2f}")
    return "\n".join(rows)


def read_line(text: str) -> Line:
    sku, kind, quantity, price = (part.strip() for part in text.split(";"))
    found = SKU.fullmatch(sku)
    if found is None or kind not in TAX:
        raise ValueError(f"{sku} of {kind} is no item")
    return Line(sku, kind, int(quantity), Decimal(price))


def price(line: Line) -> tuple[Decimal, Decimal]:
    share = next(share for least, share in STEPS if line.quantity * 10 >= least)
    net = line.price * line.quantity
    net -= (net * share).quantize(CENT)
    tax = (net * TAX[line.kind]).quantize(CENT)
    return net, tax


def row(line: Line, net: Decimal, tax: Decimal) -> str:
    columns = [line.sku.ljust(8), line.kind.title().ljust(6), f"{line.quantity:>3}", f"{net:>10}", f"{tax:>9}"]
    return " ".join(columns)


def delivery(lines: list[Line], ordered: date) -> date:
    days = 2 + len(lines) // 40
    day = ordered
    while days:
        day += timedelta(days=1)
        if day.weekday() < 5:
            days -= 1
    return day


def dearest(lines: list[Line]) -> list[str]:
    ranked = sorted((-line.price * line.quantity, line.sku) for line in lines)
    return [sku for _, sku in ranked[:5]]


@app.get("/")
async def order(customer: str = "A-17") -> dict[str, Any]:
    seed = tick() % 50
    lines = [read_line(text) for text in written(seed).splitlines()]
    if not lines:
        raise ValueError("an empty order")  # breakpoint
    kinds: dict[str, Decimal] = {}
    rows = []
    for line in lines:
        net, tax = price(line)
        kinds[line.kind] = kinds.get(line.kind, Decimal(0)) + net + tax
        rows.append(row(line, net, tax))
    text = "\n".join(rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    day = delivery(lines, FIRST_DAY + timedelta(days=seed))
    total = sum(kinds.values())
    return {
        "customer": customer,
        "total": str(total),
        "kinds": {kind: str(amount) for kind, amount in sorted(kinds.items())},
        "top": dearest(lines),
        "delivery": day.isoformat(),
        "digest": digest,
    }
