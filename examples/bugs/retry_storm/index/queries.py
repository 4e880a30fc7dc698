"""What readers type, as words. Operators are in capitals."""

OPERATORS = {"AND"}


class UnknownOperatorError(ValueError):
    """A word in capitals that we do not know."""


def parse(text: str) -> list[str]:
    words = []
    for word in text.split():
        if not word.isupper():
            words.append(word.lower())
        elif word not in OPERATORS:
            raise UnknownOperatorError(word)
    return words
