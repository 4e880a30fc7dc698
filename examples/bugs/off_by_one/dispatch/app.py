"""The depots' planner: parcels in, one route per van out."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request

from dispatch import loading, routes
from dispatch.schemas import Day, Plan

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=10) as client:
        app.state.client = client
        yield


app = FastAPI(title="dispatch", lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/plans")
async def plan(request: Request, day: Day) -> Plan:
    loads = loading.loads(day.parcels)
    metres = await routes.lengths(request.app.state.client, day.depot, loads)
    return Plan(depot=day.depot, vans=len(loads), metres=metres)
