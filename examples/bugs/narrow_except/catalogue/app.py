"""Articles and their prices."""

import logging

from fastapi import FastAPI, HTTPException

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="catalogue")
KINDS = ("lamp", "chair", "shelf", "rug")
ARTICLES = {number: (KINDS[number % 4], 1990 + number * 710 % 23000) for number in range(100, 180)}


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/articles/{number}")
async def article(number: int) -> dict[str, object]:
    if number not in ARTICLES:
        raise HTTPException(404, f"no article {number}")
    kind, cents = ARTICLES[number]
    return {"number": number, "kind": kind, "cents": cents}
