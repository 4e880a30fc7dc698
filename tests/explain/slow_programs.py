"""Small programs that are slow, each in another way; ``# cause`` marks the line that is to blame.

As in `programs`: services of `tests/reconstruct/services.py`, the request goes to the first. Here it goes there several
times, with ``healthy`` bodies and then with the slow one; statements are real ones of SQLite, seen by our boundary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Slow:
    """``status`` as `why` has to say it with siblings, ``alone`` without them; None: no finding of this kind."""

    services: dict[str, str]
    body: Any
    healthy: list[Any]
    status: str | None = "verified"
    alone: str | None = "verified"
    made_by: str = "repeated"
    count: int = 0
    collection: str = ""
    what: str = ""  # a part of what was repeated, or else of what is said
    doubt: str = ""


STORE = """
from aftertrace.record import boundaries
boundaries.install()
import sqlite3, time
def connect():
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE items (sku TEXT, price INTEGER)")
    db.executemany("INSERT INTO items VALUES (?, ?)", [(f"S{n}", n) for n in range(1000)])
    return db
"""


def one(text: str, body: Any, healthy: list[Any], **more: Any) -> Slow:
    return Slow({"app": STORE + text}, body, healthy, **more)


def skus(count: int) -> dict[str, Any]:
    return {"skus": [f"S{n}" for n in range(count)]}


FEW = [skus(n) for n in (1, 2, 3, 1, 2, 4)]

REPEATED: dict[str, Slow] = {
    "a property that asks the database": one(
        """
class Position:
    def __init__(self, db, sku):
        self.db, self.sku = db, sku
    @property
    def price(self):
        row = self.db.execute("SELECT max(price) FROM items WHERE sku = ?", (self.sku,)).fetchone()
        return row[0]
class Cart:
    def __init__(self, positions):
        self.positions = positions
def total_of(cart):
    total = 0
    for position in cart.positions:
        total += position.price  # cause
    return total
def handle(path, body):
    db = connect()
    cart = Cart([Position(db, sku) for sku in body["skus"]])
    return total_of(cart)
""",
        skus(350),
        FEW,
        count=350,
        collection="cart.positions",
        what="SELECT max(price) FROM items WHERE sku = ?",
    ),
    "in the loop itself": one(
        """
def handle(path, body):
    db = connect()
    total = 0
    for number, sku in enumerate(body["skus"]):
        row = db.execute("SELECT max(price) FROM items WHERE sku = ?", (sku,)).fetchone()  # cause
        total += row[0] * number
    return total
""",
        skus(350),
        FEW,
        count=350,
        collection="body['skus']",
        what="SELECT max(price)",
    ),
    "in a list comprehension": one(
        """
def price_of(db, sku):
    return db.execute("SELECT max(price) FROM items WHERE sku = ?", (sku,)).fetchone()[0]
def handle(path, body):
    db = connect()
    wanted = body["skus"]
    prices = [price_of(db, sku) for sku in wanted]  # cause
    return sum(prices)
""",
        skus(350),
        FEW,
        count=350,
        collection="wanted",
        what="SELECT max(price)",
    ),
    "in a generator": one(
        """
def price_of(db, sku):
    return db.execute("SELECT max(price) FROM items WHERE sku = ?", (sku,)).fetchone()[0]
def handle(path, body):
    db = connect()
    wanted = body["skus"]
    return sum(price_of(db, sku) for sku in wanted)  # cause
""",
        skus(350),
        FEW,
        count=350,
        collection="wanted",
        what="SELECT max(price)",
    ),
    "three for each of many": one(
        """
def lines_of(db, order):
    found = []
    for sku in order:
        found.append(db.execute("SELECT max(price) FROM items WHERE sku = ?", (sku,)).fetchone())
    return found
def handle(path, body):
    db = connect()
    orders = body["orders"]
    count = 0
    for order in orders:
        lines = lines_of(db, order)  # cause
        count += len(lines)
    return count
""",
        {"orders": [["S1", "S2", "S3"]] * 120},
        [{"orders": [["S1", "S2", "S3"]] * n} for n in (1, 2, 3, 2, 1)],
        count=120,
        collection="orders",
        what="SELECT max(price)",
    ),
    "while there are more pages": one(
        """
def page(db, offset):
    return db.execute("SELECT sku FROM items ORDER BY price LIMIT 1 OFFSET ?", (offset,)).fetchall()
def handle(path, body):
    db = connect()
    found, offset = [], 0
    while offset < body["wanted"]:
        rows = page(db, offset)  # cause
        offset += 1
        found.extend(rows)
    return len(found)
""",
        {"wanted": 350},
        [{"wanted": n} for n in (1, 2, 3, 4, 5)],
        count=350,
        what="SELECT sku",
    ),
    "two statements a round": one(
        """
def handle(path, body):
    db = connect()
    total = 0
    for sku in body["skus"]:
        row = db.execute("SELECT max(price) FROM items WHERE sku = ?", (sku,)).fetchone()  # cause
        again = db.execute("SELECT count(*) FROM items WHERE sku < ?", (sku,)).fetchone()  # cause
        total += row[0] + again[0]
    return total
""",
        skus(350),
        FEW,
        count=350,
        collection="body['skus']",
        what="SELECT",
    ),
    "a function of plain Python": one(
        """
def score(line):
    found = 0
    for letter in line * 60:
        found = (found * 31 + ord(letter)) % 65521
    return found
def handle(path, body):
    total = 0
    for sku in body["skus"]:
        total += score(sku)  # cause
    return total
""",
        skus(40),
        FEW,
        alone="likely",
        count=40,
        collection="body['skus']",
        what="score",
    ),
    "a call to a service for each": Slow(
        {
            "front": """
from bus import call
def total_of(skus):
    total = 0
    for sku in skus:
        total += call("back", "/prices/" + sku, {"sku": sku})  # cause
    return total
def handle(path, body):
    return total_of(body["skus"])
""",
            "back": """
def handle(path, body):
    return len(body["sku"])
""",
        },
        skus(40),
        FEW,
        count=40,
        collection="skus",
        what="POST back/prices/?",
    ),
    "an ORM's lazy attribute": Slow(
        {
            "app": """
from aftertrace.record import boundaries
boundaries.install()
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import StaticPool
class Base(DeclarativeBase):
    pass
class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int]
class Position(Base):
    __tablename__ = "positions"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    product: Mapped[Product] = relationship()
ENGINE = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
Base.metadata.create_all(ENGINE)
with Session(ENGINE) as session:
    session.add_all([Position(id=n, product=Product(id=n, price=n)) for n in range(200)])
    session.commit()
def total_of(positions):
    total = 0
    for position in positions:
        total += position.product.price  # cause
    return total
def handle(path, body):
    with Session(ENGINE) as session:
        found = session.scalars(select(Position).where(Position.id < len(body["skus"]))).all()
        return total_of(found)
"""
        },
        skus(100),
        FEW,
        count=100,
        collection="positions",
        what="FROM products",
    ),
    "coroutines awaited one after the other": one(
        """
import asyncio
async def price_of(db, sku):
    await asyncio.sleep(0.001)
    return db.execute("SELECT max(price) FROM items WHERE sku = ?", (sku,)).fetchone()[0]
async def total_of(db, skus):
    total = 0
    for sku in skus:
        total += await price_of(db, sku)  # cause
    return total
def handle(path, body):
    db = connect()
    return asyncio.run(total_of(db, body["skus"]))
""",
        skus(60),
        FEW,
        alone="likely",  # its query is next to nothing
        count=60,
        collection="skus",
    ),
}

SINGLE: dict[str, Slow] = {
    "one slow statement": one(
        """
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"
def counted(db, most):
    return db.execute(COUNT, (most,)).fetchone()  # cause
def handle(path, body):
    db = connect()
    return counted(db, body["most"])
""",
        {"most": 600_000},
        [{"most": n} for n in (10, 20, 30, 40, 50)],
        status="likely",
        alone="likely",
        made_by="statement",
        what="its statement took",
        doubt="usual",
    ),
    "as often, but each of them slow": one(
        """
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"
def handle(path, body):
    db = connect()
    found = 0
    for most in body["most"]:
        found += db.execute(COUNT, (most,)).fetchone()[0]  # cause
    return found
""",
        {"most": [150_000 + n for n in range(6)]},
        [{"most": [n] * 6} for n in (10, 20, 30, 40, 50)],
        status="likely",
        alone=None,  # six one after the other, with parameters of their own: without siblings that is all there is
        made_by="statement",
        what="its statement took",
        doubt="usual, 6 times",
    ),
    "a line that sleeps": one(
        """
def backoff(seconds):
    time.sleep(seconds)  # cause
def handle(path, body):
    backoff(body["seconds"])
    return 1
""",
        {"seconds": 0.2},
        [{"seconds": n} for n in (0, 0.001, 0, 0.001, 0)],
        alone="likely",
        made_by="sleep",
        what="slept",
    ),
    "a lock that somebody held": one(
        """
import threading
LOCK = threading.Lock()
def held(seconds):
    LOCK.acquire()
    time.sleep(seconds)
    LOCK.release()
def booked():
    booking = 0
    with LOCK:  # cause
        booking += 1
    return booking
def handle(path, body):
    if body["seconds"]:
        threading.Thread(target=held, args=(body["seconds"],)).start()
        while not LOCK.locked():
            pass
    return booked()
""",
        {"seconds": 0.3},
        [{"seconds": 0} for _ in range(5)],
        status="likely",  # nothing says that it was not the line before or after
        alone="likely",
        made_by="lock",
        what="waited for a lock",
    ),
    "the same asked again and again": Slow(
        {
            "app": """
import time
from bus import call
def again(answer):
    return answer["code"] >= 400  # cause
def found(text):
    wait = 0.05
    for number in range(5):
        answer = call("back", "/look", {"text": text})
        if not again(answer):
            return answer["found"]
        time.sleep(wait)
        wait *= 2
    return None
def handle(path, body):
    return found(body["text"])
""",
            "back": """
def handle(path, body):
    if body["text"].isupper():
        return {"code": 422}
    return {"code": 200, "found": body["text"] * 2}
""",
        },
        {"text": "NEAR"},
        [{"text": one} for one in ("river", "salt", "stone", "night", "wood")],
        status="likely",
        alone="likely",
        made_by="retried",
        what="app.py:9 asked the same 5 times",
    ),
    "a coroutine that waits": one(
        """
import asyncio
async def answer(seconds):
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, event.set)
    await event.wait()  # cause
    return 1
def handle(path, body):
    return asyncio.run(answer(body["seconds"]))
""",
        {"seconds": 0.3},
        [{"seconds": 0.001} for _ in range(5)],
        alone="likely",
        made_by="wait",
        what="waited",
    ),
    "a library that computes": one(
        """
import json
def encoded(rows):
    return json.dumps(rows)  # cause
def handle(path, body):
    rows = list(range(body["rows"]))
    return len(encoded(rows))
""",
        {"rows": 1_000_000},
        [{"rows": n} for n in (10, 20, 30, 40, 50)],
        status="likely",
        doubt="may have been stopped there",
        alone="likely",
        made_by="code",
        what="ran or waited here",
    ),
}

# Nothing may be proven here: ``status`` is what may be said at most.
OTHERS: dict[str, Slow] = {
    "as many as its siblings": one(
        """
def handle(path, body):
    db = connect()
    total = 0
    for sku in body["skus"]:
        total += db.execute("SELECT max(price) FROM items WHERE sku = ?", (sku,)).fetchone()[0]
    return total
""",
        skus(350),
        [skus(350)] * 6,
        status="likely",  # on a busy machine its statements may be slower
        made_by="",
        alone=None,
    ),
    "at the same time in threads": one(
        """
from concurrent.futures import ThreadPoolExecutor
def slow(seconds):
    time.sleep(seconds)
    return seconds
def handle(path, body):
    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(slow, body["waits"]))
""",
        {"waits": [0.1] * 8},
        [{"waits": [0]} for _ in range(5)],
        status="likely",
        alone="likely",
        made_by="",
    ),
    "one of three was slow": one(
        """
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"
def handle(path, body):
    db = connect()
    found = 0
    for most in body["most"]:
        found += db.execute(COUNT, (most,)).fetchone()[0]  # cause
    return found
""",
        {"most": [10, 600_000, 10]},
        [{"most": [n] * 2} for n in (10, 20, 30, 40, 50)],
        status="likely",
        alone="likely",
        made_by="statement",
    ),
    "a few more, and slow for another reason": one(
        """
def work():
    time.sleep(0.004)
def handle(path, body):
    for _ in range(body["rounds"]):
        work()
    if body["pause"]:
        time.sleep(body["pause"])  # cause
    return 1
""",
        {"rounds": 11, "pause": 0.04},
        [{"rounds": n, "pause": 0} for n in (8, 9, 10, 8, 9)],
        status="likely",  # less than half of the request, but most of what it took longer
        alone=None,
        made_by="sleep",
        what="slept",
        doubt="of the request only",
    ),
    "nothing of it is much": one(
        """
def first():
    time.sleep(0.03)
def second():
    time.sleep(0.03)
def third():
    time.sleep(0.03)
def handle(path, body):
    first()
    second()
    third()
    return 1
""",
        {},
        [],
        status="unknown",
        alone="unknown",
    ),
}
