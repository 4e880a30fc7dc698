"""Parcels and their labels, over HTTP."""

import logging
from itertools import count

from flask import Flask, jsonify, request

from shipping import labels

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)
numbers = count(1)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/parcels")
def parcel():
    body = request.get_json()
    label = labels.label(body["customer"], body["address"])
    return jsonify(parcel=f"S{next(numbers):06}", label=label), 201
