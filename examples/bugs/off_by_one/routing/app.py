"""Ways through the town, over HTTP."""

import logging

from flask import Flask, jsonify, request

from routing import streets, tour

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/routes")
def route():
    body = request.get_json()
    stops = [tour.Stop(stop["x"], stop["y"], streets.tidy(stop["label"])) for stop in body["stops"]]
    order = tour.nearest_first(stops)
    return jsonify(metres=tour.length(order), first=order[0].label)
