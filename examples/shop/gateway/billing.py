"""What the worker is told after a sale: it writes the invoice and mails it."""

from gateway.schemas import Receipt

CURRENCIES = {"DK": "DKK", "PL": "PLN", "CZ": "CZK"}


def invoice_job(receipt: Receipt, country: str, recipient: str) -> dict[str, str]:
    """All that the invoice needs, as text."""
    amount = f"{receipt.total_cents / 100:,.2f}"  # fault: 5
    currency = CURRENCIES.get(country, "EUR")
    return {"order": receipt.order, "recipient": recipient, "amount": amount, "currency": currency}
