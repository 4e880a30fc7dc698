"""The store of people, over HTTP."""

import logging

from flask import Flask, abort, jsonify

from store import people, shards

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)
shards.prepare()


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/people/<handle>")
def person(handle: str):
    found = people.find(handle)
    if found is None:
        abort(404)
    return jsonify(found)
