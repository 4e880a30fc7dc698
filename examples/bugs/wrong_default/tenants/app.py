"""Tenants and what was agreed with them."""

import logging

from flask import Flask, abort, jsonify

from tenants import contracts

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)
contracts.prepare()


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/tenants/<name>")
def tenant(name: str):
    found = contracts.find(name)
    if found is None:
        abort(404)
    return jsonify(found)
