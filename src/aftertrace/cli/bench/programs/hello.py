"""FastAPI at its smallest."""

from __future__ import annotations

from fastapi import FastAPI

from .tick import tick

app = FastAPI()


@app.get("/")
async def hello(name: str = "world") -> dict[str, str]:
    number = tick()
    if number < 0:
        return {"message": "never"}  # breakpoint
    return {"message": f"hello {name}"}
