"""The index of the library's titles."""

import logging

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from index import queries, shelf

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)
app = FastAPI(title="index")
BREATHER = 11  # every so many questions the index merges its segments first
_asked = 0


class Question(BaseModel):
    text: str
    limit: int


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/lookup")
async def lookup(question: Question) -> dict[str, list[str]]:
    global _asked  # noqa: PLW0603
    _asked += 1
    if _asked % BREATHER == 0:
        log.info("merging")
        raise HTTPException(429, "merging, ask again")
    try:
        words = queries.parse(question.text)
    except queries.UnknownOperatorError as error:
        raise HTTPException(422, f"operator {error} is not known") from error
    return {"titles": shelf.find(words, question.limit)}
