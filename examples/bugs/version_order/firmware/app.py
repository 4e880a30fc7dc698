"""Releases, over HTTP."""

import logging

from flask import Flask, jsonify

from firmware import releases

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/models/<model>/latest")
def latest(model: str):
    version = releases.latest(model)
    return jsonify(version=version, bytes=releases.size(model, version))
