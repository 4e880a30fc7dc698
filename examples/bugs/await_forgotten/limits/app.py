"""What each account may spend in a day."""

import logging

from flask import Flask, jsonify

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)
OWN = {"A-03": 20000, "A-07": 8000}  # agreed with the customer
USUAL = 100000


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/accounts/<account>")
def account(account: str):
    return jsonify(cents_a_day=OWN.get(account, USUAL))
