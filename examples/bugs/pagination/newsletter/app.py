"""Letters to all members of a club."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from newsletter import addresses, sending

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
app = FastAPI(title="newsletter")


class Letter(BaseModel):
    club: str
    subject: str


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/letters")
def letter(letter: Letter) -> dict[str, int]:
    members = addresses.count(letter.club)
    recipients = addresses.everyone(letter.club)
    sent = sending.send(letter.subject, recipients)
    sending.check(letter.club, sent, members)
    return {"sent": sent, "members": members}
