"""What must not stay on any device."""

import logging

from fastapi import FastAPI

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="recalls")
RECALLED = {("H1", "1.1.0"), ("H2", "1.4.0"), ("P8", "1.9.2")}


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/models/{model}/versions/{version}")
def version(model: str, version: str) -> dict[str, bool]:
    return {"recalled": (model, version) in RECALLED}
