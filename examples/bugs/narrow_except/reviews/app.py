"""Averages of reviews, over HTTP."""

import logging

from fastapi import FastAPI, HTTPException

from reviews import archive

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="reviews")


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/articles/{number}")
def article(number: int) -> dict[str, float]:
    try:
        stars = archive.read(number)
    except archive.LockedError as error:
        raise HTTPException(503, str(error)) from error
    return {"average": sum(stars) / len(stars), "count": len(stars)}
