"""How long a tenant may try before paying."""

from typing import Any

DEFAULT_DAYS = 14


def days(tenant: dict[str, Any]) -> int:
    """What was agreed with the tenant; most have agreed nothing."""
    days: int = tenant.get("trial_days") or DEFAULT_DAYS  # bug
    return days
