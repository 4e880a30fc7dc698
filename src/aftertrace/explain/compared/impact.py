"""Who else is hit: how often the failure's group has happened, since when, where; and the same failure elsewhere."""

from __future__ import annotations

from typing import Any

from aftertrace.explain.scene.company import Company, group_of
from aftertrace.reconstruct.execution import Execution

_MOST = 10
_MINUTE = 60 * 10**9


def told(execution: Execution, company: Company) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """(group, impact) as JSON; None where the request is of no group, or the group is not known. Counts are of
    requests, weighted: what the kept ones stand for."""
    name = group_of(execution)
    groups = company.groups() if name else []
    own = next((one for one in groups if one.id == name), None)
    if own is None:
        return None, None
    group = {
        "id": own.id,
        "title": own.title,
        "count": own.count,
        "kept": own.kept,
        "first_ns": own.first_ns,
        "last_ns": own.last_ns,
    }
    lasted = own.last_ns - own.first_ns
    elsewhere = [one for one in groups if one.id != own.id and one.title == own.title][:_MOST]
    impact = {
        "requests": own.count,
        "per_minute": own.count * _MINUTE / lasted if lasted >= _MINUTE else None,
        "routes": own.routes,
        "services": own.services,
        "versions": own.versions,
        "elsewhere": [{"id": one.id, "count": one.count, "routes": one.routes} for one in elsewhere],
    }
    return group, impact
