"""Letters in each tenant's name."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from letters import paper

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="letters")


class Line(BaseModel):
    invoice: str
    amount: str
    due: str


class Wish(BaseModel):
    tenant: str
    customer: int
    lines: list[Line]


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/letters", status_code=201)
def letter(wish: Wish) -> dict[str, str]:
    text = [paper.head(wish.tenant)]
    text += [paper.line(wish.tenant, one.invoice, one.amount, one.due) for one in wish.lines]
    return {"letter": "\n".join(text)}
