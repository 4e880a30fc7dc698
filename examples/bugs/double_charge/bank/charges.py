"""What was charged; the same key again is the same charge."""

_by_key: dict[str, tuple[str, str, int]] = {}


def book(key: str, order: str, cents: int) -> str:
    if key not in _by_key:
        _by_key[key] = (f"C{len(_by_key) + 1:06}", order, cents)
    return _by_key[key][0]


def of_order(order: str) -> int:
    return sum(cents for _, of, cents in _by_key.values() if of == order)
