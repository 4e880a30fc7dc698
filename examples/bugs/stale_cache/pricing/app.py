"""Prices, over HTTP."""

import logging
import os

import requests
from flask import Flask, jsonify, request

from pricing import cache, prices

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
LEDGER_URL = os.environ.get("LEDGER_URL", "http://127.0.0.1:8003")
app = Flask(__name__)
prices.prepare()


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/prices/<sku>")
def read(sku: str):
    cents = cache.read(sku)
    if cents is None:
        cents = prices.current(sku)
        cache.write(sku, cents)
    return jsonify(sku=sku, cents=cents)


@app.put("/prices/<sku>")
def change(sku: str):
    """Caches everywhere run out by themselves within half a second: nobody is told but the ledger."""
    cents = int(request.get_json()["cents"])
    prices.change(sku, cents)
    requests.put(f"{LEDGER_URL}/pricelist/{sku}", json={"cents": cents}, timeout=10).raise_for_status()
    return jsonify(sku=sku, cents=cents)
