"""Pages of articles: with stars if there are any."""

import logging
import os

import requests
from flask import Flask, abort, jsonify

from pages import stars

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
CATALOGUE_URL = os.environ.get("CATALOGUE_URL", "http://127.0.0.1:8002")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/articles/<int:number>")
def article(number: int):
    found = requests.get(f"{CATALOGUE_URL}/articles/{number}", timeout=10)
    if found.status_code == 404:
        abort(404)
    found.raise_for_status()
    return jsonify(**found.json(), stars=stars.shown(stars.average(number)))
