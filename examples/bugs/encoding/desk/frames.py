"""What the printer's firmware reads: each line behind its length in four digits."""


def frame(lines: list[str]) -> bytes:
    parts = []
    for line in lines:
        size = len(line)  # bug
        parts.append(f"{size:04}{line}")
    return "".join(parts).encode()
