"""Stock: articles, and labels for their shelves."""

import logging

from flask import Flask, abort, jsonify, request

from stock import articles, database, labels

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)
database.prepare()


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/articles/<number>")
def article(number: str):
    found = articles.find(number)
    if found is None:
        abort(404)
    return jsonify(found)


@app.post("/labels")
def print_labels():
    wish = request.get_json()
    return jsonify(printed=labels.print_shelf(wish["shelf"], int(wish["copies"]))), 201
