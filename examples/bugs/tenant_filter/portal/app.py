"""What the companies' accountants use: a statement of what a customer owes."""

import logging

from fastapi import FastAPI, HTTPException

from portal import statements

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
app = FastAPI(title="portal")


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/tenants/{tenant}/statements/{customer}")
def statement(tenant: str, customer: int) -> dict[str, object]:
    invoices = statements.unpaid(tenant, customer)
    if invoices is None:
        raise HTTPException(404, f"no customer {customer}")
    if not invoices:
        return {"owes": "0.00", "letter": None}
    letter = statements.write(tenant, customer, invoices)
    return {"owes": statements.shown(sum(one["cents"] for one in invoices)), "letter": letter}
