"""What the field wrote down, maintenance and failures, as the ledger keeps it."""

from __future__ import annotations

from ingest.history import History


def field_records(history: History) -> list[tuple[str, int, str, str]]:
    """Return (asset, time in ns, ``maintenance`` or ``failure``, what) of a history's two tables, by time."""
    maintenance, failures = history.maintenance(), history.failures()
    done = (maintenance[name].tolist() for name in ("asset_id", "time", "component", "action"))
    records = [
        (asset_id, at, "maintenance", f"{component}: {action}".strip(": "))
        for asset_id, at, component, action in zip(*done, strict=True)
    ]
    failed = (failures[name].tolist() for name in ("asset_id", "time", "failure_mode"))
    records += [(asset_id, at, "failure", mode) for asset_id, at, mode in zip(*failed, strict=True)]
    return sorted(records, key=lambda record: (record[1], record[0]))
