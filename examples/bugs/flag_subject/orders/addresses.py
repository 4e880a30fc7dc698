"""Addresses as labels want them: the new ones have the house's number by itself."""

from orders import flags


def for_label(placed_by: str, customer: str, address: str) -> dict[str, str]:
    street, town = (part.strip() for part in address.split(","))
    split = flags.enabled("split-street", placed_by)  # bug
    if not split:
        return {"name": customer, "street": street, "town": town}
    street, _, house = street.rpartition(" ")
    return {"name": customer, "street": street, "house": house, "town": town}
