"""Other banks, which gave out the cards."""

import asyncio

ABROAD = "9"
FIRST_SECONDS = 2.5  # until an issuer abroad has looked at a card for the first time
_known: set[str] = set()


async def tell_issuer(card: str) -> None:
    if card in _known:
        return
    _known.add(card)
    if card.startswith(ABROAD):
        await asyncio.sleep(FIRST_SECONDS)
