"""The plots of a back-test's report, as SVG to stand within a page: text stays text, and there is no script."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from models.reliability import Reliability

COLOURS = {"fleetdx": "#1d4ed8", "any_fault": "#d9480f", "last_value_limits": "#6b7280"}
KINDS = {
    "true": "#15803d",
    "repeat": "#86efac",
    "late": "#b58900",
    "early": "#d9480f",
    "pending": "#9ca3af",
    "false": "#b91c1c",
}
_INK, _GRID = "#1f2937", "#e5e7eb"
_MOST_POINTS = 400
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fleetdx",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def named(way: str) -> str:
    """Return what a way to open tickets is called in the page."""
    return way.replace("_", " ")


def lead_times(hours: NDArray[np.float64], horizon_days: float) -> str:
    """Return a histogram of how long before the failure its ticket was opened."""

    def draw(axes: Axes) -> None:
        days = hours / 24
        step = max(horizon_days / 14, 1 / 24)
        axes.hist(days, bins=np.arange(0, horizon_days + step, step).tolist(), color=COLOURS["fleetdx"])
        axes.set(xlabel="days before the failure", ylabel="failures caught", xlim=(0, horizon_days))

    return _drawn(draw)


def precision_recall(scores: Mapping[str, pd.Series[float]], truth: NDArray[np.bool_]) -> str:
    """Return precision over recall of each way's score of an asset-day, for "a failure within the horizon"."""

    def draw(axes: Axes) -> None:
        for way, score in scores.items():
            values = score.to_numpy(dtype=np.float64)
            known = np.isfinite(values)
            if not known.any() or not truth[known].any():
                continue
            precision, recall, _ = precision_recall_curve(truth[known], values[known])
            kept = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), _MOST_POINTS)).astype(np.intp))
            axes.step(recall[kept], precision[kept], where="post", color=COLOURS[way], label=named(way))
        axes.axhline(float(truth.mean()), color=_INK, linewidth=0.8, linestyle=":", label="without skill")
        axes.set(xlabel="recall of asset-days", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(frameon=False)

    return _drawn(draw)


def reliability_diagram(found: Mapping[str, Reliability]) -> str:
    """Return how often a failure came within the horizon where it was said to come with a probability."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
        for way, one in found.items():
            said, came = [b.predicted for b in one.bins], [b.observed for b in one.bins]
            axes.plot(said, came, marker="o", markersize=4, color=COLOURS[way], label=named(way))
        axes.set(xlabel="probability that was said", ylabel="share that failed", xlim=(0, 1), ylim=(0, 1))
        axes.legend(frameon=False)

    return _drawn(draw)


def tickets_over_time(opened: NDArray[np.int64], kinds: list[str], failures: NDArray[np.int64]) -> str:
    """Return the tickets of each week by what they were, and the failures (all in ns)."""

    def draw(axes: Axes) -> None:
        at = opened.astype("datetime64[ns]").astype("datetime64[s]")
        came = failures.astype("datetime64[ns]").astype("datetime64[s]")
        every = np.concatenate([at, came])
        week = np.timedelta64(7, "D")
        first = every.min().astype("datetime64[D]")
        edges = np.arange(first, every.max().astype("datetime64[D]") + 2 * week, week)
        middle = np.array([date2num(edge.astype(datetime)) for edge in edges[:-1]]) + 3.5
        below = np.zeros(len(edges) - 1)
        for kind, colour in KINDS.items():
            chosen = at[np.array([k == kind for k in kinds], dtype=bool)]
            number = np.histogram(chosen.astype(np.int64), edges.astype("datetime64[s]").astype(np.int64))[0]
            if number.any():
                axes.bar(middle, number, 6, bottom=below, color=colour, label=kind)
            below += number
        number = np.histogram(came.astype(np.int64), edges.astype("datetime64[s]").astype(np.int64))[0]
        axes.plot(middle, number, color=_INK, marker=".", linewidth=1, label="failures")
        locator = AutoDateLocator(tz=UTC)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
        axes.set(ylabel="a week")
        axes.legend(frameon=False, ncols=6, loc="upper left", bbox_to_anchor=(0, 1.15))

    return _drawn(draw, width=9.2)


def costs(rows: Mapping[str, float]) -> str:
    """Return what each way cost, and what no ticket at all would have."""

    def draw(axes: Axes) -> None:
        ways = list(rows)[::-1]
        axes.barh(
            [named(way) for way in ways], [rows[way] for way in ways], color=[COLOURS.get(w, _GRID) for w in ways]
        )
        for place, way in enumerate(ways):
            axes.text(rows[way], place, f" {rows[way]:,.0f}", va="center")
        axes.set(xlabel="cost", xlim=(0, 1.2 * max([*rows.values(), 1.0])))

    return _drawn(draw, height=2.2)


def _drawn(draw: Callable[[Axes], None], *, width: float = 4.5, height: float = 3.0) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.grid(color=_GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        draw(axes)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", svg, count=1, flags=re.DOTALL)
