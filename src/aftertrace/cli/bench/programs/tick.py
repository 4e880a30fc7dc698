"""Counts requests: each handler calls ``tick`` once, a C function, so that no recorder sees a call in it."""

from __future__ import annotations

import itertools

tick = itertools.count().__next__
