"""From the broker to the pipeline: paho with manual acknowledgement after the commit.

paho's thread only puts messages into a bounded window; the thread that calls ``run`` takes batches through the pipeline
and acknowledges them. What is not acknowledged, the broker sends again after the next connect.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from config.settings import Ingest, Mqtt
from ingest.pipeline import Message, Pipeline
from ingest.window import Window
from telemetry.store import StoreUnavailable

log = logging.getLogger(__name__)

_SESSION_DAYS = 7
"""How long the broker keeps our session and what it queues for it while we are away."""
_WINDOW_BYTES = 64_000_000
_QOS = 1
"""With QoS 2 paho would acknowledge receipt by itself, before anything is stored."""


class _Arrived(NamedTuple):
    """A message with what its acknowledgement needs; ``connection`` counts connects: packet ids end with each."""

    message: Message
    mid: int
    qos: int
    connection: int


class Subscriber:
    """Takes what gateways publish under the prefix until told to stop. The constructor connects to nothing."""

    def __init__(self, settings: Mqtt, ingest: Ingest, pipeline: Pipeline) -> None:
        self._settings, self._ingest, self._pipeline = settings, ingest, pipeline
        self._window: Window[_Arrived] = Window(settings.max_in_flight, _WINDOW_BYTES)
        self._connection = 0
        self._problem = "not connected yet"
        self._client = self._new_client()

    @property
    def problem(self) -> str:
        """What keeps messages from being taken at the moment; empty while all is well."""
        return self._problem

    def run(self, stop: threading.Event, taken: Callable[[int], None] = lambda _: None) -> None:
        """Connect and work until ``stop``; ``taken`` is told how many messages each batch held (0: none came).

        Raises:
            StoreRejected: the store takes nothing at all; a person has to act.
            RuntimeError: the network thread died of a defect.
        """
        settings = self._settings
        network = threading.Thread(
            target=self._client.loop_forever, kwargs={"retry_first_connection": True}, name="mqtt", daemon=True
        )
        self._client.connect_async(settings.host, settings.port, settings.keep_alive_s, **self._connect_options())
        network.start()
        try:
            while not stop.is_set():
                if not network.is_alive():
                    raise RuntimeError("the MQTT thread has ended")
                batch = self._window.take(self._ingest.batch_messages, wait=0.2, fill=self._ingest.batch_seconds)
                if batch and not self._bring_to_its_end([arrived.message for arrived in batch], stop):
                    break
                self._acknowledge(batch)
                taken(len(batch))
        finally:
            self._window.close()
            self._client.disconnect()
            network.join(timeout=5)

    def _bring_to_its_end(self, messages: Sequence[Message], stop: threading.Event) -> bool:
        """Repeat until the batch is durable; False if told to stop before."""
        wait = 0.5
        while not stop.is_set():
            try:
                self._take(messages)
            except (StoreUnavailable, sqlite3.OperationalError) as error:
                self._problem = str(error)
                log.error("Cannot store, trying again in %.0f s; nothing is acknowledged meanwhile: %s", wait, error)
                stop.wait(wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
                wait = min(wait * 2, 30.0)
            else:
                self._problem = ""
                return True
        return False

    def _take(self, messages: Sequence[Message]) -> None:
        try:
            self._pipeline.take(messages)
        except (StoreUnavailable, sqlite3.Error, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            if isinstance(error, StoreUnavailable | sqlite3.Error):
                raise
            # A defect of ours met by some message: it must neither be lost nor stop those beside it.
            log.exception("A message could not be processed; it goes to quarantine")
            if len(messages) == 1:
                self._pipeline.refuse(messages[0], f"{type(error).__name__}: {error}")
                return
            for message in messages:
                self._take([message])

    def _acknowledge(self, batch: Sequence[_Arrived]) -> None:
        for arrived in batch:
            # An old connection's packet ids mean nothing to the new one, or something else.
            if arrived.qos and arrived.connection == self._connection:
                self._client.ack(arrived.mid, arrived.qos)

    def _new_client(self) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=paho.MQTTv5 if settings.version == 5 else paho.MQTTv311,
            clean_session=None if settings.version == 5 else False,
            manual_ack=True,
        )
        if settings.username is not None:
            password = os.environ.get(settings.password_env) if settings.password_env else None
            client.username_pw_set(settings.username, password)
        if settings.tls:
            client.tls_set(ca_certs=settings.ca_file, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        # Bounds drawn for each process: a fleet of programs does not come back in step after an outage.
        client.reconnect_delay_set(min_delay=1, max_delay=random.randint(15, 45))  # noqa: S311
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _connect_options(self) -> dict[str, Any]:
        if self._settings.version != 5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_DAYS * 86_400
        properties.ReceiveMaximum = self._settings.max_in_flight
        return {"clean_start": False, "properties": properties}

    def _on_connect(
        self, client: paho.Client, _data: object, flags: Any, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._problem = f"the broker at {self._settings.host}:{self._settings.port} refuses: {reason}"
            log.error("%s", self._problem)
            return
        self._connection += 1
        self._problem = ""
        # Always: a session that the broker kept may hold the subscriptions of an older configuration.
        client.subscribe(f"{self._settings.prefix}/#", qos=_QOS)
        log.info("Connected to the broker; it %s our session", "kept" if flags.session_present else "opened")

    def _on_connect_fail(self, _client: paho.Client, _data: object) -> None:
        self._problem = f"no broker answers at {self._settings.host}:{self._settings.port}"
        log.warning("%s; trying again", self._problem)

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, reason: object, _properties: object
    ) -> None:
        self._problem = f"the connection to the broker ended: {reason}"
        log.info("%s", self._problem)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        size, most = len(payload), self._ingest.max_payload_bytes
        if size > most:
            payload = payload[:most]  # held in the window no larger than what may be taken
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(bytes(message._topic))
        arrived = _Arrived(Message(topic, payload, size), message.mid, message.qos, self._connection)
        self._window.put(arrived, len(payload) + 500)
