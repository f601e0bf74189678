"""From the broker to the pipeline: paho with manual acknowledgement after the commit.

One thread owns the connection: it connects, puts what comes into a bounded window, and sends acknowledgements. The
thread that calls ``run`` takes batches from the window through the pipeline. What is not acknowledged, the broker
sends again after the next connect.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from config.settings import Ingest, Mqtt
from ingest.decoders.decoder import Request
from ingest.pipeline import Message, Pipeline
from ingest.quarantine import KEPT_BYTES
from ingest.window import Window
from telemetry.store import StoreError, StoreRejected, StoreUnavailable

log = logging.getLogger(__name__)

_SESSION_DAYS = 7
"""How long the broker keeps our session and what it queues for it while we are away."""
_WINDOW_BYTES = 64_000_000
_QOS = 1
"""With QoS 2 paho would acknowledge receipt by itself, before anything is stored."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_REQUESTS = 10_000
"""Requests to gateways that wait for the network; beyond it the oldest are given up, and asked again."""
_LEAVE_S = 0.15
_ACK_S = 0.02
"""How long an acknowledgement may wait for the network's thread while nothing comes in."""


class _Arrived(NamedTuple):
    """A message with what its acknowledgement needs; ``connection`` counts connects: packet ids end with each."""

    message: Message
    mid: int
    qos: int
    connection: int


class _Backoff:
    """Waits that double from ``_FIRST_WAIT_S`` to ``_LONGEST_WAIT_S``, each half to one and a half times as long.

    The jitter keeps many programs from coming back in step after an outage.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._next = _FIRST_WAIT_S

    def wait(self, stop: threading.Event) -> None:
        stop.wait(self._next * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
        self._next = min(self._next * 2, _LONGEST_WAIT_S)


class Subscriber:
    """Takes what gateways publish under the prefix until told to stop. The constructor connects to nothing.

    For one ``run``: a second needs a new object.
    """

    def __init__(self, settings: Mqtt, ingest: Ingest, pipeline: Pipeline) -> None:
        self._settings, self._ingest, self._pipeline = settings, ingest, pipeline
        self._window: Window[_Arrived] = Window(settings.max_in_flight, _WINDOW_BYTES)
        self._done: deque[_Arrived] = deque()  # bounded as the window is: each was in it
        self._requests: deque[Request] = deque(maxlen=_REQUESTS)
        self._connection = 0
        self._ending = threading.Event()
        self._connect_backoff = _Backoff()
        self._link_problem, self._store_problem = "not connected yet", ""
        self._defect: BaseException | None = None
        self._client = self._new_client()

    @property
    def problem(self) -> str:
        """What keeps messages from being taken at the moment; empty while all is well."""
        return self._store_problem or self._link_problem

    def run(self, stop: threading.Event, taken: Callable[[int], None] = lambda _: None) -> None:
        """Connect and work until ``stop``; ``taken`` is told how many messages each batch held, after its commit.

        Raises:
            StoreRejected: the store takes nothing at all; a person has to act.
            sqlite3.DatabaseError: the account is broken.
            RuntimeError: the network's thread died of a defect.
        """
        network = threading.Thread(target=self._network, name="mqtt", daemon=True)
        network.start()
        try:
            while not stop.is_set():
                if self._defect is not None or not network.is_alive():
                    raise RuntimeError("the MQTT thread has ended") from self._defect
                batch = self._window.take(self._ingest.batch_messages, wait=0.2, fill=self._ingest.batch_seconds)
                if not batch:
                    continue
                if not self._bring_to_its_end([arrived.message for arrived in batch], stop):
                    break
                self._done.extend(batch)
                taken(len(batch))
        finally:
            self._ending.set()
            self._window.close()
            network.join(timeout=5)

    # In the worker's thread

    def _bring_to_its_end(self, messages: Sequence[Message], stop: threading.Event) -> bool:
        """Repeat until the batch is durable; False if told to stop before."""
        backoff = _Backoff()
        while not stop.is_set():
            try:
                self._take(messages)
            except (StoreUnavailable, sqlite3.OperationalError) as error:
                self._store_problem = str(error) or type(error).__name__
                log.error("Cannot store, trying again; nothing is acknowledged meanwhile: %s", self._store_problem)
                backoff.wait(stop)
            else:
                self._store_problem = ""
                return True
        return False

    def _take(self, messages: Sequence[Message]) -> None:
        try:
            self._requests.extend(self._pipeline.take(messages))
        except (StoreError, sqlite3.Error) as error:
            if isinstance(error, StoreRejected):
                self._store_problem = str(error)
            raise
        except Exception as error:  # a defect of ours met by some message must neither lose it nor stop those beside it
            if len(messages) == 1:
                log.exception("A message could not be processed; it goes to quarantine")
                self._pipeline.refuse(messages[0], f"{type(error).__name__}: {error}")
                return
            for message in messages:
                self._take([message])

    # In the network's thread

    def _network(self) -> None:
        settings = self._settings
        try:
            self._client.connect_async(settings.host, settings.port, settings.keep_alive_s, **self._connect_options())
            while not self._ending.is_set():
                self._one_connection()
                self._connect_backoff.wait(self._ending)
        except Exception as defect:  # told to the worker, which ends with it
            log.exception("The MQTT thread met a defect")
            self._defect = defect

    def _one_connection(self) -> None:
        """Connect, and serve the connection until it ends."""
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:  # ValueError: a TLS context that does not fit
            self._link_problem = f"no broker answers at {self._settings.host}:{self._settings.port}: {error}"
            log.warning("%s; trying again", self._link_problem)
            return
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while result == MQTTErrorCode.MQTT_ERR_SUCCESS:
            result = self._client.loop(_ACK_S)
            ending = self._ending.is_set()  # asked first: what was done before it was set is then acknowledged below
            self._acknowledge()
            self._ask()
            if ending:
                self._leave()
                return
        if not self._link_problem:
            self._link_problem = f"the connection to the broker ended: {paho.error_string(result)}"
        log.warning("%s; connecting again", self._link_problem)

    def _leave(self) -> None:
        # Closing a socket while something unread waits in it resets the connection, and the broker then loses the
        # acknowledgements that it has not read yet: it is given the time.
        end = time.monotonic() + _LEAVE_S
        while time.monotonic() < end:
            if self._client.loop(_ACK_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
        self._client.disconnect()
        end = time.monotonic() + 2
        while self._client.want_write() and time.monotonic() < end:
            if self._client.loop(_ACK_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def _acknowledge(self) -> None:
        while self._done:
            arrived = self._done.popleft()
            # An old connection's packet ids mean nothing to the new one, or something else.
            if arrived.qos and arrived.connection == self._connection:
                self._client.ack(arrived.mid, arrived.qos)

    def _ask(self) -> None:
        while self._requests:
            topic, payload = self._requests.popleft()
            self._client.publish(topic, payload, qos=0)  # if it is lost, the reason to ask comes again

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
        client.on_connect = self._on_connect
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
        self, client: paho.Client, _data: object, flags: paho.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._link_problem = f"the broker at {self._settings.host}:{self._settings.port} refuses: {reason}"
            return
        self._connection += 1
        self._link_problem = ""
        self._connect_backoff.reset()
        # Always: a session that the broker kept may hold the subscriptions of an older configuration.
        client.subscribe([(topic, _QOS) for topic in self._pipeline.routes.filters()])
        log.info("Connected to the broker; it %s our session", "kept" if flags.session_present else "opened")

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        size = len(message.payload)
        # Held no larger than what may be taken; of what is refused for its size, only what quarantine keeps.
        payload = bytes(message.payload if size <= self._ingest.max_payload_bytes else message.payload[:KEPT_BYTES])
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(bytes(message._topic))
        arrived = _Arrived(Message(topic, payload, size, message.retain), message.mid, message.qos, self._connection)
        self._window.put(arrived, len(payload) + 500)
