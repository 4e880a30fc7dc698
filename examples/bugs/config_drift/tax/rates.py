"""Rates by country."""

from tax import settings


def percent_of(country: str) -> int:
    percent = settings.rates[country]  # bug
    return percent


def tax(country: str, net: int) -> int:
    exact = net * percent_of(country)
    return (exact + 50) // 100 if settings.rounding["mode"] == "half-up" else exact // 100
