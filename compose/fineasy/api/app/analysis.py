"""The analyses: from amounts booked (incomes positive, expenses negative) to what they say about a business."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import Any

DAYS, RUNS = 30, 500


def cash_flow(amounts: Sequence[float]) -> dict[str, Any]:
    """Sum up: what came in, what went out, what is left, and how it changes from one booking to the next."""
    trend = statistics.linear_regression(range(len(amounts)), amounts).slope if len(amounts) > 1 else 0.0
    return {
        "inflow": round(sum(a for a in amounts if a > 0), 2),
        "outflow": round(-sum(a for a in amounts if a < 0), 2),
        "net": round(sum(amounts), 2),
        "mean": round(statistics.fmean(amounts), 2),
        "deviation": round(statistics.pstdev(amounts), 2),
        "trend": round(trend, 4),
    }


def anomalies(amounts: Sequence[float]) -> dict[str, Any]:
    """Find bookings far from the median, by the median absolute deviation, which they themselves hardly move."""
    median = statistics.median(amounts)
    spread = statistics.median(abs(a - median) for a in amounts) * 1.4826 or 1.0
    found = [
        {"position": position, "amount": amount, "deviations": round((amount - median) / spread, 2)}
        for position, amount in enumerate(amounts)
        if abs(amount - median) > 3.5 * spread
    ]
    return {"median": round(median, 2), "spread": round(spread, 2), "anomalies": found}


def forecast(amounts: Sequence[float]) -> dict[str, Any]:
    """Simulate the next 30 days by drawing from the bookings; the same bookings give the same forecast."""
    draw = random.Random(repr(amounts))  # noqa: S311 - a simulation, nothing to guess
    sums = sorted(sum(draw.choices(amounts, k=DAYS)) for _ in range(RUNS))
    low, middle, high = (round(sums[int(RUNS * share)], 2) for share in (0.1, 0.5, 0.9))
    return {"days": DAYS, "runs": RUNS, "low": low, "middle": middle, "high": high}


ANALYSES = {f.__name__: f for f in (cash_flow, anomalies, forecast)}
"""Type of an analysis -> what computes it from the amounts (at least one)."""
