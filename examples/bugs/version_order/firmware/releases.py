"""What was released for which model."""

RELEASED = {
    "H1": ["1.0.0", "1.1.0", "1.1.1", "2.0.0"],
    "H2": ["1.4.0", "1.5.2", "1.6.0"],
    "H3": ["0.9.0", "0.9.3"],
    "P8": ["1.7.0", "1.8.0", "1.9.2", "1.10.0"],
}
SIZES = {("H1", "2.0.0"): 418_304, ("H2", "1.6.0"): 393_216}


def latest(model: str) -> str:
    version = max(RELEASED[model])  # bug
    return version


def size(model: str, version: str) -> int | None:
    try:
        return SIZES[model, version]
    except KeyError:  # not measured
        return None
