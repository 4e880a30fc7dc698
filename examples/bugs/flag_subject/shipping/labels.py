"""Labels: two formats until all customers have the new one."""

from shipping import flags


def label(customer: str, address: dict[str, str]) -> list[str]:
    if flags.enabled("split-street", customer):
        return [address["name"], f"{address['house']} {address['street']}", address["town"]]
    return [address["name"], address["street"], address["town"].upper()]
