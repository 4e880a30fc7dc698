"""Invoices of all tenants, over HTTP."""

import logging

from flask import Flask, abort, jsonify

from papers import database, invoices

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)
database.prepare()


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/<tenant>/customers/<int:customer>/unpaid")
def unpaid(tenant: str, customer: int):
    with database.connected() as connection:
        name = invoices.name(connection, tenant, customer)
        if name is None:
            abort(404)
        return jsonify(name=name, invoices=invoices.unpaid(connection, tenant, customer))
