"""A subscriber at work in a thread, for tests with a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from mosquitto_server import Gateway, until

from config.register import Register
from config.settings import Ingest, Mqtt
from ingest.accounting import Accounting
from ingest.mqtt import Subscriber
from ingest.pipeline import Pipeline
from ingest.spool import Spool
from telemetry.store import TelemetryStore

SETTINGS = Ingest(batch_seconds=0.01, batch_messages=20)


class Ingesting(threading.Thread):
    """Runs ``subscriber`` until stopped; ``failure`` is what ended it before."""

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__()
        self.subscriber = subscriber
        self.failure: Exception | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        try:
            self.subscriber.run(self._ending)
        except Exception as error:
            self.failure = error

    def stop(self) -> None:
        self._ending.set()
        self.join(20)
        assert not self.is_alive()


@contextmanager
def ingesting(
    port: int,
    prefix: str,
    register: Register,
    accounting: Accounting,
    store: TelemetryStore,
    *,
    version: int = 5,
    client: str = "paho",
    spool: Spool | None = None,
    decoders: Mapping[str, str] | None = None,
    keep_alive_s: int = 30,
) -> Iterator[Ingesting]:
    """Take what comes under a prefix, from the moment at which the broker has the subscription.

    It is told by a retained status of ``bus-3``, which must be in the register.
    """
    chosen: Literal["paho", "mqtt5"] = "mqtt5" if client == "mqtt5" else "paho"
    mqtt = Mqtt(
        port=port,
        prefix=prefix,
        client_id=prefix,
        client=chosen,
        version=5 if version == 5 else 3,
        decoders=decoders or {},
        keep_alive_s=keep_alive_s,
    )
    pipeline = Pipeline(store, accounting, register, mqtt=mqtt, settings=SETTINGS, clock=time.time_ns)
    gateway = Gateway(port)
    gateway.send(f"{prefix}/bus-3/status", '{"online": true}', retain=True)
    gateway.finish()
    thread = Ingesting(Subscriber(mqtt, SETTINGS, pipeline, spool))
    thread.start()
    try:
        until(lambda: any(status.asset_id == "bus-3" for status in accounting.status()))
        yield thread
    finally:
        thread.stop()
