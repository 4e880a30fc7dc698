"""Accounts, over HTTP."""

import logging

from flask import Flask, jsonify, request

from accounts import transfers

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/transfers")
def transfer():
    wish = request.get_json()
    left = transfers.move(wish["source"], wish["target"], wish["cents"], wish["text"])
    return jsonify(left=left), 201
