"""Settings for the press, over HTTP."""

import logging

from flask import Flask, jsonify, request

from prepress import presets, sheets

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/settings")
def settings():
    wish = request.get_json()
    settings = presets.settings(wish["preset"], wish["otherwise"])
    return jsonify({**settings, "sheets": sheets.needed(settings["size"], settings["copies"])})
