"""How orders talks to inventory."""

from typing import Any

import httpx

from orders import config
from orders.models import Position

client = httpx.Client(timeout=config.TIMEOUT_SECONDS)


class OutOfStockError(Exception):
    """Not enough of it left."""


def reserve(region: str, positions: list[Position]) -> Any:
    wanted = [{"sku": position.sku, "quantity": position.quantity} for position in positions]
    response = client.post(f"{config.INVENTORY_URL}/reserve", json={"region": region, "wanted": wanted})
    if response.status_code == httpx.codes.CONFLICT:
        raise OutOfStockError(response.json()["detail"])
    response.raise_for_status()
    return response.json()
