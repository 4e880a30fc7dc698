"""Asks routing for the way of each van."""

import os

import httpx

from dispatch.schemas import Parcel

ROUTING_URL = os.environ.get("ROUTING_URL", "http://127.0.0.1:8002")


async def lengths(client: httpx.AsyncClient, depot: str, loads: list[list[Parcel]]) -> list[int]:
    metres = []
    for load in loads:
        stops = [{"x": parcel.x, "y": parcel.y, "label": parcel.street} for parcel in load]
        answer = await client.post(f"{ROUTING_URL}/routes", json={"depot": depot, "stops": stops})
        answer.raise_for_status()
        metres.append(answer.json()["metres"])
    return metres
