"""The queue, and what is done with its messages."""

from huey import SqliteHuey

from worker import config, db, invoices, mailer

config.DATA.mkdir(parents=True, exist_ok=True)
queue = SqliteHuey("shop", filename=str(config.QUEUE))


@queue.task()
def send_invoice(job: dict[str, str]) -> int:
    invoice = invoices.make_invoice(job)
    number = db.save(invoice)
    mailer.post(invoice.recipient, f"Invoice {number}", invoices.as_text(invoice))
    return number
