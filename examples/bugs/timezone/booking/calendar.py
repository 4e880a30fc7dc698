"""The doctors' calendars, which the slots service keeps."""

import os

import requests

from booking import times

SLOTS_URL = os.environ.get("SLOTS_URL", "http://127.0.0.1:8002")
session = requests.Session()


def book(doctor: str, patient: str, start: str) -> dict:
    moment = times.parse(start)
    wish = {
        "day": moment.date().isoformat(),
        "minute": times.minutes_of_day(moment),
        "patient": patient,
    }
    answer = session.put(f"{SLOTS_URL}/doctors/{doctor}/slots", json=wish, timeout=10)
    answer.raise_for_status()
    return answer.json()
