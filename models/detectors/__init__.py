"""Anomaly detectors: one file each, named as its detector, found by name; adding one is adding its file."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from typing import cast

from models.detector import Detector


def detector_names() -> tuple[str, ...]:
    """Return the names of all detectors, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def detector_class(name: str) -> type[Detector]:
    """Return the class of a detector, to be built with ``seed=``; ``ValueError`` where there is none of the name."""
    if name not in detector_names():
        raise ValueError(f"unknown detector {name!r}; there are {', '.join(detector_names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    for _, found in inspect.getmembers(module, inspect.isclass):
        if found.__module__ == module.__name__ and getattr(found, "name", None) == name:
            return cast(type[Detector], found)
    raise ValueError(f"{module.__name__} holds no class with the name {name!r}")


def columns_read(names: Iterable[str]) -> frozenset[str]:
    """Return the endings of the columns that detectors read."""
    return frozenset(ending for name in names for ending in detector_class(name).reads)
