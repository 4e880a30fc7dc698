"""From a job of the queue to an invoice."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

TAX = Decimal("0.19")
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Invoice:
    reference: str
    recipient: str
    net: Decimal
    tax: Decimal
    currency: str


def make_invoice(job: dict[str, str]) -> Invoice:
    reference = job["order"]
    amount = job["amount"]
    gross = Decimal(amount)
    net = (gross / (1 + TAX)).quantize(CENT, ROUND_HALF_UP)
    return Invoice(reference, job["recipient"], net, gross - net, job["currency"])


def as_text(invoice: Invoice) -> str:
    gross = invoice.net + invoice.tax
    return (
        f"Invoice for {invoice.reference}\n\nnet {invoice.net}\ntax {invoice.tax}\nto pay {gross} {invoice.currency}\n"
    )
