"""Search: the index's answers, or what can be found without it."""

import logging

from flask import Flask, jsonify, request

from search import fallback, indexed

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/search")
def search():
    text, limit = request.args["q"], int(request.args.get("limit", "5"))
    titles = indexed.titles(text, limit)
    if titles is None:
        log.warning("%r is looked for without the index", text)
        return jsonify(titles=fallback.titles(text, limit), degraded=True)
    return jsonify(titles=titles, degraded=False)
