"""Make durable what was read, the second of the three steps; what the store refuses costs its own message alone."""

from __future__ import annotations

import logging

from ingest.decoders.decoder import Reject
from ingest.reading import Read
from telemetry.store import StoreRejected, TelemetryStore

log = logging.getLogger(__name__)


def write(store: TelemetryStore, batch: list[Read]) -> list[Read]:
    """Store the batch; return it with what the store refused as rejects.

    Repetitions are written too: it changes nothing, and nothing is lost where a gateway numbers wrongly.

    Raises ``StoreError``, but for ``StoreRejected`` of single messages.
    """
    measurements = [measurement for read in batch for measurement in read.checked.measurements]
    faults = [fault for read in batch for fault in read.checked.faults]
    if not measurements and not faults:
        return batch
    try:
        store.write(measurements, faults)
    except StoreRejected as error:
        if error.stops_the_line:
            raise
        if len(batch) > 1:
            middle = len(batch) // 2
            return write(store, batch[:middle]) + write(store, batch[middle:])
        log.warning("The store refuses a message on %s: %s", batch[0].message.topic, error)
        checked = batch[0].checked
        checked.refuse(Reject("store-refused", "payload", str(error)[:300]), checked.taken)
        checked.measurements, checked.faults = [], []
    return batch
