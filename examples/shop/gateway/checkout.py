"""A sale, from the cart to the invoice."""

import logging

import httpx
from worker.tasks import send_invoice

from gateway import billing, clients, db
from gateway.regions import region_for
from gateway.schemas import Checkout, Receipt

log = logging.getLogger(__name__)


async def check_out(client: httpx.AsyncClient, checkout: Checkout) -> Receipt:
    region = region_for(checkout.country)
    placed = await clients.place_order(client, checkout.cart, region, checkout.coupon, checkout.loyalty)
    receipt = Receipt.model_validate(placed)
    db.book(receipt.order, checkout.country, receipt.total_cents)
    job = billing.invoice_job(receipt, checkout.country, checkout.recipient)
    send_invoice(job)
    log.info("sold %s for %d cents", receipt.order, receipt.total_cents)
    return receipt
