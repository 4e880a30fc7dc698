"""Invoices. A tax that auditors would not accept is refused."""

import logging

from fastapi import FastAPI, Response
from pydantic import BaseModel

from invoices import audit

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)
app = FastAPI(title="invoices")


class Draft(BaseModel):
    country: str
    net: int
    tax: int


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/invoices", status_code=201)
def invoice(draft: Draft, response: Response) -> dict[str, str]:
    expected = audit.expected_tax(draft.country, draft.net)
    if draft.tax != expected:
        log.warning("%s: tax %d, expected %d", draft.country, draft.tax, expected)
        response.status_code = 500
        return {"error": "the tax is not right"}
    return {"number": audit.next_number(draft.country)}
