"""Purchases: tax from one of the tax service's replicas, then an invoice."""

import logging

from flask import Flask, jsonify, request

from checkout import coupons, neighbours

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/purchases")
def purchase():
    wish = request.get_json()
    net = coupons.reduced(int(wish["net_cents"]), wish["coupon"])
    tax = neighbours.tax(wish["country"], net)
    try:
        number = neighbours.invoice(wish["country"], net, tax)
    except neighbours.RefusedError:
        return jsonify(error="no invoice could be written"), 502
    return jsonify(invoice=number, gross_cents=net + tax), 201
