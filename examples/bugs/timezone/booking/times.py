"""Times as browsers and phones write them. Everything behind this module is UTC."""

from datetime import UTC, datetime


def parse(text: str) -> datetime:
    """ISO 8601, with the offset of the patient's own clock."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)  # bug


def minutes_of_day(moment: datetime) -> int:
    return moment.hour * 60 + moment.minute
