"""Clubs and who is in them."""

import logging

from flask import Flask, jsonify, request

from members import database, pages

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = Flask(__name__)
database.prepare()


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.get("/clubs/<club>")
def club(club: str):
    return jsonify(club=club, members=pages.count(club))


@app.get("/clubs/<club>/members")
def members(club: str):
    after, limit = int(request.args.get("after", "0")), int(request.args.get("limit", "20"))
    found = pages.page(club, after, limit)
    following = found[-1]["joined"] if len(found) == limit else None
    return jsonify(members=found, next=following)
