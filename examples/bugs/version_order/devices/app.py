"""Heating controllers check in once a day, and are told what to install."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from devices import updates

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
log = logging.getLogger(__name__)
app = FastAPI(title="devices")
COLD = 8.0  # degrees


class CheckIn(BaseModel):
    serial: str
    model: str
    version: str
    degrees: float


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/checkins")
def check_in(device: CheckIn) -> dict[str, str | None]:
    if device.degrees < COLD:
        log.error("%s reports %.1f degrees", device.serial, device.degrees)
    latest = updates.latest(device.model)
    install = latest if latest != device.version else None
    updates.check(device.model, device.serial, install or device.version)
    return {"install": install}
