"""Which alerts show one cause: many assets, one failure mode, within one window. Pure.

A group begins with ``least`` alerts of one cause that were known within ``window`` of the first of them, and takes in
all others within it. So a group never grows for ever, and of what is left alone no ``least`` lie within a window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple


class Cause(NamedTuple):
    """What the alerts of a group have in common; ``site`` is empty where a cause is looked for everywhere."""

    failure_mode: str
    asset_type: str
    site: str


class Known(NamedTuple):
    """An alert that is in no group: when it was known, its number, and what it may have in common with others."""

    at: datetime
    alert: int
    cause: Cause


@dataclass(slots=True)
class Group:
    """Alerts of one cause; ``number`` is that of a group that was there before."""

    cause: Cause
    first_at: datetime
    number: int | None = None
    joined: list[Known] = field(default_factory=list)
    """In order of time: all of a new group, or who joined one that was there before."""


def grouped(alone: Iterable[Known], before: Iterable[Group], least: int, window: timedelta) -> list[Group]:
    """Return the groups that alerts join, new ones and those of before, with who joins; the others stay alone."""
    waiting: defaultdict[Cause, list[Known]] = defaultdict(list)
    for known in alone:
        waiting[known.cause].append(known)
    groups = list(before)
    for cause in sorted(waiting):
        left = _join(sorted(waiting[cause]), [group for group in groups if group.cause == cause], window)
        groups += _begin(cause, left, least, window)
    return [group for group in groups if group.joined]


def _join(alone: list[Known], groups: list[Group], window: timedelta) -> list[Known]:
    """Let alerts join groups that are there; return who finds none."""
    left: list[Known] = []
    for known in alone:
        group = next((group for group in groups if abs(known.at - group.first_at) <= window), None)
        (group.joined if group is not None else left).append(known)
    return left


def _begin(cause: Cause, alone: list[Known], least: int, window: timedelta) -> list[Group]:
    groups: list[Group] = []
    first = 0
    while first + least <= len(alone):
        end = first
        while end < len(alone) and alone[end].at - alone[first].at <= window:
            end += 1
        if end - first < least:
            first += 1
            continue
        groups.append(Group(cause, alone[first].at, joined=alone[first:end]))
        first = end
    return groups
