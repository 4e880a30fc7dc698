"""Tax on a net amount."""

from fastapi import FastAPI
from pydantic import BaseModel

from tax import rates

app = FastAPI(title="tax")


class Net(BaseModel):
    country: str
    net: int


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/tax")
def tax(body: Net) -> dict[str, int]:
    return {"tax": rates.tax(body.country, body.net)}
