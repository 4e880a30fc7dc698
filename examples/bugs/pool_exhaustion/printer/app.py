"""The label printer's little server: it answers when the paper is out."""

import asyncio
import logging

from fastapi import FastAPI
from pydantic import BaseModel

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)
app = FastAPI(title="printer")
SECONDS_PER_LABEL = 0.03


class Job(BaseModel):
    labels: list[str]


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/jobs")
async def job(job: Job) -> dict[str, int]:
    for label in job.labels:
        await asyncio.sleep(SECONDS_PER_LABEL)
        if len(label) > 12:
            log.warning("%s is wider than the paper", label)
    return {"printed": len(job.labels)}
