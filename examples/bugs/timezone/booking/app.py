"""What patients talk to."""

import logging

from flask import Flask, jsonify, request

from booking import calendar, reminders

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/appointments")
def appointment():
    wish = request.get_json()
    booked = calendar.book(wish["doctor"], wish["patient"], wish["start"])
    booked["reminder"] = reminders.day_before(booked["day"])
    return jsonify(booked), 201
