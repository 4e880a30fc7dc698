"""A doctor's day: half-hour slots from opening to closing; a slot may have a waiting list."""

from dataclasses import dataclass, field

OPENS, CLOSES, SLOT = 8 * 60, 17 * 60, 30  # minutes


@dataclass
class Slot:
    label: str
    patients: list[str] = field(default_factory=list)


@dataclass
class Day:
    doctor: str
    slots: list[Slot]


_days: dict[tuple[str, str], Day] = {}


def day_of(doctor: str, day: str) -> Day:
    try:
        return _days[doctor, day]
    except KeyError:
        made = Day(doctor, [Slot(_label(minute)) for minute in range(OPENS, CLOSES, SLOT)])
        _days[doctor, day] = made
        return made


def take(day: Day, minute: int, patient: str) -> Slot:
    number = (minute - OPENS) // SLOT
    slot = day.slots[number]
    slot.patients.append(patient)
    return slot


def _label(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
