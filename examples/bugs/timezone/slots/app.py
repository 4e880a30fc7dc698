"""The slots of each doctor's days."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from slots import days

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="slots")


class Wish(BaseModel):
    day: str
    minute: int
    patient: str


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.put("/doctors/{doctor}/slots")
def take(doctor: str, wish: Wish) -> dict[str, object]:
    day = days.day_of(doctor, wish.day)
    slot = days.take(day, wish.minute, wish.patient)
    return {"day": wish.day, "slot": slot.label, "queue": len(slot.patients)}
