"""Mail goes through a folder that the mail server empties."""

from email.message import EmailMessage
from pathlib import Path

from worker import config

SENDER = "shop@example.org"


def post(recipient: str, subject: str, text: str) -> Path:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SENDER, recipient, subject
    mail.set_content(text)
    config.OUTBOX.mkdir(parents=True, exist_ok=True)
    path = config.OUTBOX / f"{subject.replace(' ', '-')}.eml"
    path.write_bytes(mail.as_bytes())
    return path
