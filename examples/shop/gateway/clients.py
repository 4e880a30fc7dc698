"""How the gateway talks to orders and inventory."""

from typing import Any

import httpx
from fastapi import HTTPException

from gateway import config


def _answer(response: httpx.Response) -> Any:
    if response.is_client_error:
        raise HTTPException(response.status_code, response.json().get("detail", "refused"))
    response.raise_for_status()
    return response.json()


async def place_order(client: httpx.AsyncClient, cart: str, region: str, coupon: str, loyalty: str) -> Any:
    body = {"cart": cart, "region": region, "coupon": coupon, "loyalty": loyalty}
    response = await client.post(f"{config.ORDERS_URL}/orders", json=body)
    return _answer(response)


async def fetch_cart(client: httpx.AsyncClient, cart: str) -> Any:
    response = await client.get(f"{config.ORDERS_URL}/carts/{cart}")
    return _answer(response)


async def put_in_cart(client: httpx.AsyncClient, cart: str, sku: str, quantity: int) -> Any:
    body = {"sku": sku, "quantity": quantity}
    response = await client.post(f"{config.ORDERS_URL}/carts/{cart}/positions", json=body)
    return _answer(response)


async def fetch_products(client: httpx.AsyncClient, limit: int) -> Any:
    response = await client.get(f"{config.INVENTORY_URL}/products", params={"limit": limit})
    return _answer(response)


async def take_stock(client: httpx.AsyncClient, aisle: str) -> Any:
    try:
        response = await client.post(f"{config.INVENTORY_URL}/stocktake", json={"aisle": aisle})
    except httpx.TransportError as error:
        raise HTTPException(502, "the warehouse does not answer") from error
    return _answer(response)
