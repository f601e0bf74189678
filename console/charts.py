"""The evidence chart: signals, anomaly score and faults of one asset on one local time axis, as SVG.

Text stays text in the SVG (searchable, set in the reader's own fonts, Chinese included), and there is no script.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from config.operating_day import NS, day_bounds
from config.register import Severity
from config.units import printed

SEVERITY_COLOURS: dict[Severity, str] = {
    "info": "#6b7280",
    "minor": "#b58900",
    "major": "#d9480f",
    "critical": "#b91c1c",
}
_INK, _GRID, _SIGNAL, _NORMAL, _SCORE, _NO_DATA = "#1f2937", "#e5e7eb", "#1d4ed8", "#86efac", "#7c3aed", "#f3f4f6"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fleetdx",
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


_drawing = threading.Lock()


@dataclass(frozen=True, slots=True)
class SignalTrace:
    """One signal to draw: ``time`` (int64 ns, UTC, ascending) and ``value``, equally long, in ``unit``.

    ``normal`` is the band (low, high) in which the asset's daily values lay before, drawn behind the line.
    """

    title: str
    unit: str
    time: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    normal: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class DayScore:
    """The calibrated anomaly level of one operating day, 0 to 1; ``None`` where it is not known."""

    day: date
    level: float | None
    anomalous: bool


@dataclass(frozen=True, slots=True)
class FaultMark:
    """One fault code's row: the instants (ns, UTC) at which it was set."""

    label: str
    severity: Severity
    times: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant (aware) marked over the whole height of the chart."""

    label: str
    at: datetime


def evidence_chart(
    *,
    first: date,
    last: date,
    zone: ZoneInfo,
    signals: Sequence[SignalTrace],
    scores: Sequence[DayScore],
    score_title: str,
    faults: Sequence[FaultMark],
    faults_title: str,
    moments: Sequence[Moment] = (),
    no_data: str = "no data",
) -> str:
    """Return an SVG document of the operating days ``first`` to ``last``, both inclusive, in ``zone``'s time."""
    start, end = day_bounds(zone, first)[0], day_bounds(zone, last)[1]
    heights = [1.0] * len(signals) + [0.7] + [max(0.35, 0.19 * len(faults) + 0.12)]
    # The style is process-wide in matplotlib, and pages are drawn in several threads.
    with _drawing, mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Text stays text: it is the reader's browser that has the glyphs, matplotlib only measures.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=(10.5, 0.55 + 1.12 * sum(heights)), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axis, trace in zip(axes, signals, strict=False):
            _draw_signal(axis, trace)
        _draw_scores(axes[-2], scores, score_title, zone)
        _draw_faults(axes[-1], faults, faults_title)
        for axis in axes:
            _shade_days_without_score(axis, scores, zone)
            for moment in moments:
                axis.axvline(date2num(moment.at), color=_INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=4)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="x", color=_GRID, linewidth=0.8)
            axis.set_axisbelow(True)
        for moment, side in _sides(moments, (end - start) / NS):
            axes[0].annotate(
                moment.label, (date2num(moment.at), 1.0), xycoords=("data", "axes fraction"),
                xytext=(0, 2), textcoords="offset points", ha=side, va="bottom", fontsize=8.5,
            )  # fmt: skip
        _name_gaps(axes[-2], scores, no_data, zone)
        axes[-1].set_xlim(_local(start), _local(end))
        locator = AutoDateLocator(tz=zone, minticks=5, maxticks=15)
        axes[-1].xaxis.set_major_locator(locator)
        axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone, show_offset=False))
        axes[-1].set_xlabel(f"{first} … {last}, {zone.key.replace('_', ' ')}", loc="right", fontsize=8)
        out = io.StringIO()
        canvas.print_svg(out, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _sides(moments: Sequence[Moment], seconds: float) -> Iterator[tuple[Moment, Literal["left", "center", "right"]]]:
    """Yield where each moment's label stands: two that are close together stand apart."""
    near = timedelta(seconds=seconds * 0.09)
    for place, moment in enumerate(moments):
        if place + 1 < len(moments) and moments[place + 1].at - moment.at < near:
            yield moment, "right"
        elif place > 0 and moment.at - moments[place - 1].at < near:
            yield moment, "left"
        else:
            yield moment, "center"


def _local(at: int) -> float:
    return float(date2num(datetime.fromtimestamp(at / NS, UTC)))


def _dates(times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(times / (86_400 * NS), dtype=np.float64)  # matplotlib's dates: days since the Unix epoch


def _title(axis: Axes, title: str, unit: str = "") -> None:
    text = f"{title}  [{printed(unit)}]" if printed(unit) else title
    axis.set_title(text, loc="left", fontsize=9, pad=3, fontweight="bold")


def _draw_signal(axis: Axes, trace: SignalTrace) -> None:
    _title(axis, trace.title, trace.unit)
    axis.margins(y=0.12)
    axis.tick_params(labelsize=8)
    if trace.normal is not None:
        axis.axhspan(*trace.normal, color=_NORMAL, alpha=0.35, linewidth=0)
    if trace.time.size == 0:
        return
    hour, low, middle, high = _hourly(trace.time, trace.value)
    dates = _dates(hour)
    axis.fill_between(dates, low, high, color=_SIGNAL, alpha=0.18, linewidth=0)
    axis.plot(dates, middle, color=_SIGNAL, linewidth=1.1)


def _hourly(
    time: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Reduce to the lowest, median and highest value an hour; a gap of more than three steps breaks the line."""
    step = 3600 * NS
    bins, starts = np.unique(time // step, return_index=True)
    groups = np.split(value, starts[1:])
    hour = bins * step + step // 2
    low, middle, high = (np.array([f(g) for g in groups]) for f in (np.min, np.median, np.max))
    gaps = np.flatnonzero(np.diff(hour) > 3 * max(step, int(np.median(np.diff(hour))) if hour.size > 1 else step)) + 1
    hour = np.insert(hour, gaps, hour[gaps] - 1)
    low, middle, high = (np.insert(series, gaps, np.nan) for series in (low, middle, high))
    return hour, low, middle, high


def _draw_scores(axis: Axes, scores: Sequence[DayScore], title: str, zone: ZoneInfo) -> None:
    _title(axis, title)
    axis.set_ylim(0, 1.08)
    axis.set_yticks([0, 0.5, 1.0])
    axis.tick_params(labelsize=8)
    for score in scores:
        if score.level is None:
            continue
        left, right = (_local(bound) for bound in day_bounds(zone, score.day))
        width = right - left
        axis.bar(
            left + width / 2, max(score.level, 0.01), width * 0.86,
            color=_SCORE, alpha=1.0 if score.anomalous else 0.3, linewidth=0,
        )  # fmt: skip


def _draw_faults(axis: Axes, faults: Sequence[FaultMark], title: str) -> None:
    _title(axis, title)
    axis.set_ylim(len(faults) - 0.4 if faults else 0.6, -0.6)
    axis.set_yticks(range(len(faults)), [fault.label for fault in faults], fontsize=8)
    axis.tick_params(axis="y", length=0)
    for row, fault in enumerate(faults):
        dates = _dates(np.array(fault.times, dtype=np.int64))
        colour = SEVERITY_COLOURS[fault.severity]
        axis.plot(
            dates, np.full(dates.size, row), linestyle="", marker="|", markersize=9, markeredgewidth=1.6, color=colour
        )


def _shade_days_without_score(axis: Axes, scores: Sequence[DayScore], zone: ZoneInfo) -> None:
    for score in scores:
        if score.level is None:
            left, right = (_local(bound) for bound in day_bounds(zone, score.day))
            axis.axvspan(left, right, color=_NO_DATA, linewidth=0, zorder=0)


def _name_gaps(axis: Axes, scores: Sequence[DayScore], no_data: str, zone: ZoneInfo) -> None:
    unknown = [score.day for score in scores if score.level is None]
    runs = [day for day in unknown if day - timedelta(days=1) not in unknown]
    for day in runs[:6]:
        at = date2num(datetime(day.year, day.month, day.day, 12, tzinfo=zone))
        axis.text(float(at), 0.5, no_data, ha="center", va="center", fontsize=7, rotation=90, color="#6b7280")
