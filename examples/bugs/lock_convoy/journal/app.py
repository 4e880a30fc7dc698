"""The journal, over HTTP."""

import logging

from flask import Flask, jsonify, request

from journal import book, packing

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/entries")
def entry():
    body = request.get_json()
    number = book.append(body["machine"], int(body["code"]), packing.lines(body["protocol"]))
    return jsonify(number=number), 201
