"""Payments by card, over HTTP."""

import logging

from flask import Flask, jsonify, request

from payments import charging

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/payments")
def payment():
    wish = request.get_json()
    charge = charging.charge(wish["order"], wish["card"], wish["cents"])
    return jsonify(charge=charge), 201
