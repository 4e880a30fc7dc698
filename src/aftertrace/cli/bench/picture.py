"""The report as one PNG page: for each program the ratios on a logarithmic axis, and below them the approaches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from aftertrace.cli.bench.catalog import CONTROL, OURS
from aftertrace.cli.bench.report import Approach, Row, Table
from aftertrace.cli.bench.text import latency
from aftertrace.errors import UsageError

SCALE = 2  # pixels of the file to a unit of the layout, for sharp letters
WIDTH, MARGIN, GAP = 1180, 40, 36
PANEL = (WIDTH - 2 * MARGIN - GAP) / 2
ROW, HEAD, AXIS = 22, 58, 30
LABEL, VALUE = 128, 74  # columns beside a panel's axis
NUMBER = 26  # of an axis, with the room around it
COLUMNS = (0, 110, 320, 610, 790)  # of the approaches
LOWEST = 0.9  # of the ratios: what is faster than the bare program by more is not believed
TICKS = (1.0, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
PAPER, INK, SOFT, RULE, BAND = "#ffffff", "#1c1e21", "#6b7178", "#e3e6e9", "#edeff1"
OWN, OTHER, DOUBT = "#0b6e4f", "#b4452c", "#9aa1a8"

type Point = tuple[float, float]


@dataclass(slots=True)
class Page:
    """A sheet in units of the layout."""

    image: Image.Image
    draw: ImageDraw.ImageDraw

    @classmethod
    def blank(cls, height: float) -> Page:
        image = Image.new("RGB", (WIDTH * SCALE, round(height * SCALE)), PAPER)
        return cls(image, ImageDraw.Draw(image))

    def text(self, x: float, y: float, words: str, *, size: float = 13, colour: str = INK, anchor: str = "lm") -> None:
        font = ImageFont.load_default(size * SCALE)
        self.draw.text((x * SCALE, y * SCALE), words, fill=colour, font=font, anchor=anchor)

    def line(self, start: Point, end: Point, colour: str, width: float = 1) -> None:
        points = [(x * SCALE, y * SCALE) for x, y in (start, end)]
        self.draw.line(points, fill=colour, width=round(width * SCALE))

    def box(self, start: Point, end: Point, colour: str) -> None:
        self.draw.rectangle([(x * SCALE, y * SCALE) for x, y in (start, end)], fill=colour)

    def dot(self, x: float, y: float, colour: str, radius: float = 4) -> None:
        box = ((x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE)
        self.draw.ellipse(box, fill=colour)


@dataclass(frozen=True, slots=True)
class Axis:
    """Ratios from ``low`` to ``high`` between two places."""

    left: float
    right: float
    low: float
    high: float

    def at(self, ratio: float) -> float:
        share = math.log(max(ratio, self.low) / self.low) / math.log(self.high / self.low)
        return self.left + min(share, 1.0) * (self.right - self.left)


def draw(tables: Sequence[Table], page: Sequence[Approach], machine: dict[str, Any], path: Path) -> None:
    """Raises UsageError when the file cannot be written."""
    heights = [_height(one) for one in tables]
    below = [max(heights[at : at + 2]) for at in range(0, len(heights), 2)]
    sheet = Page.blank(110 + sum(below) + GAP * len(below) + 60 + ROW * (len(page) + 1) + MARGIN)
    top = _title(sheet, machine)
    high = _highest(tables)
    for number, one in enumerate(tables):
        _panel(sheet, one, (MARGIN + (number % 2) * (PANEL + GAP), top), high)
        if number % 2 or number == len(tables) - 1:
            top += below[number // 2] + GAP
    _approaches(sheet, page, top)
    try:
        sheet.image.save(path, format="PNG", optimize=True)
    except OSError as error:
        raise UsageError("bench-picture", f"{path} cannot be written: {error.strerror or error}.") from None


def _height(one: Table) -> float:
    return HEAD + ROW * len(one.rows) + AXIS


def _highest(tables: Sequence[Table]) -> float:
    most = max(row.cpu.high for one in tables for row in one.rows)
    return next((tick for tick in TICKS[3:] if tick >= most), TICKS[-1])


def _title(sheet: Page, machine: dict[str, Any]) -> float:
    sheet.text(MARGIN, 42, "CPU per request, against the bare program", size=22)
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, CPython {machine['python']}, aftertrace {machine['aftertrace']}"
    )
    note = "Dot: median of neighbouring slices; line: 95 % interval; grey band: what two bare programs differ by."
    sheet.text(MARGIN, 68, f"{where}.  {note}", size=12, colour=SOFT)
    return 110


def _panel(sheet: Page, one: Table, corner: Point, high: float) -> None:
    left, top = corner
    sheet.text(left, top + 8, one.program, size=16)
    bare = f"{one.about}; bare {one.bare_us:.0f} us, {one.bare_rate:.0f}/s, noise {one.noise:.1%}"
    sheet.text(left, top + 30, bare, size=11.5, colour=SOFT)
    axis = Axis(left + LABEL, left + PANEL - VALUE, LOWEST, high)
    first, bottom = top + HEAD, top + HEAD + ROW * len(one.rows)
    sheet.box((axis.at(1 - one.noise), first - 10), (axis.at(1 + one.noise), bottom - 8), BAND)
    free = 0.0  # from where there is room for the next number
    for tick in TICKS:
        x = axis.at(tick)
        if tick <= high and x >= free:
            sheet.line((x, first - 10), (x, bottom - 8), SOFT if tick == 1 else RULE, 0.5)
            sheet.text(x, bottom + 2, f"{tick:g}", size=10.5, colour=SOFT, anchor="mm")
            free = x + NUMBER
    for number, row in enumerate(one.rows):
        _row(sheet, row, axis, left, first + ROW * number)


def _row(sheet: Page, row: Row, axis: Axis, left: float, y: float) -> None:
    unsure = row.name == CONTROL or row.verdict.startswith("cannot")
    colour = DOUBT if unsure else OWN if row.name.startswith(OURS) else OTHER
    sheet.text(left, y, "bare, again" if row.name == CONTROL else row.name, size=12.5, colour=SOFT if unsure else INK)
    sheet.line((axis.at(row.cpu.low), y), (axis.at(row.cpu.high), y), colour, 1.5)
    sheet.dot(axis.at(row.cpu.value), y, colour)
    said = "cannot tell" if unsure and row.name != CONTROL else f"{row.cpu.value:.2f}"
    sheet.text(axis.right + VALUE, y, said, size=12, colour=SOFT if unsure else INK, anchor="rm")


def _approaches(sheet: Page, page: Sequence[Approach], top: float) -> None:
    sheet.text(MARGIN, top + 8, "Four approaches, and ours", size=16)
    rows = [("approach", "latency added", "fidelity", "leave it on?", "measured with")]
    rows += [(one.name, latency(one), one.fidelity, one.safe, one.by) for one in page]
    for number, row in enumerate(rows):
        y = top + 40 + ROW * number
        if number:
            sheet.line((MARGIN, y - ROW / 2), (WIDTH - MARGIN, y - ROW / 2), RULE, 0.5)
        for at, words in zip(COLUMNS, row, strict=True):
            colour = SOFT if number == 0 or words == "not measured" else INK
            sheet.text(MARGIN + at, y, words, size=12.5, colour=colour)
