"""Named arrays in one file, without pickle: what a model learned."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays of numbers or text; equal arrays give equal bytes."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: Path, names: Collection[str]) -> Arrays:
    """Read exactly the arrays that were written. Raises ``ValueError`` naming the file where that can't be done."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name}: not a file of arrays ({error})") from error
    if set(arrays) != set(names):
        raise ValueError(f"{path.name}: holds {sorted(arrays)} where {sorted(names)} belong")
    return arrays
