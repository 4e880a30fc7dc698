"""What stands in a letter."""

HEADS = {"north": "North Tools Ltd", "south": "South & Sons"}


class ForeignInvoiceError(Exception):
    """An invoice would get into somebody else's letter."""


def head(tenant: str) -> str:
    try:
        return HEADS[tenant]
    except KeyError:  # has no name of its own yet
        return tenant.capitalize()


def line(tenant: str, invoice: str, amount: str, due: str) -> str:
    if invoice[0] != tenant[0].upper():
        raise ForeignInvoiceError(f"{invoice} is none of {tenant}")
    return f"{invoice:10} {amount:>10}  due {due}"
