"""The press, over HTTP."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from press import finishing

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="press")


class Settings(BaseModel):
    size: str
    paper: str
    copies: int
    colour: bool
    sheets: int


class Job(BaseModel):
    name: str
    laminate: bool
    settings: Settings


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/jobs")
def job(job: Job) -> dict[str, object]:
    film = finishing.film(job.settings.paper, job.settings.size) if job.laminate else None
    return {"name": job.name, "sheets": job.settings.sheets, "film": film}
