"""Labels for parcels: made here, printed by the printer in its own time."""

import logging

from flask import Flask, jsonify, request
from printer.tasks import print_label

from desk import frames, postage

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/labels")
def label():
    parcel = request.get_json()
    price = postage.price(parcel["grams"])
    lines = [parcel["name"], parcel["street"], parcel["city"], f"{price} ct"]
    print_label(frames.frame(lines))
    return jsonify(price=price), 202
