"""What customers have to pay, and who they are."""

import logging
import sqlite3
from typing import Any

log = logging.getLogger(__name__)
MANY = 3  # unpaid invoices


def name(connection: sqlite3.Connection, tenant: str, customer: int) -> str | None:
    query = "SELECT name FROM customers WHERE tenant = ? AND number = ?"
    row = connection.execute(query, (tenant, customer)).fetchone()
    return row["name"] if row is not None else None


def unpaid(connection: sqlite3.Connection, tenant: str, customer: int) -> list[dict[str, Any]]:
    query = "SELECT number, cents, due FROM invoices WHERE customer = ? AND paid = 0 ORDER BY due"  # bug
    rows = [dict(row) for row in connection.execute(query, (customer,))]
    if len(rows) >= MANY:
        log.error("%s should talk to customer %s: %d invoices are unpaid", tenant, customer, len(rows))
    return rows
