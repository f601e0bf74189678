"""The link by paho-mqtt: MQTT 5 and 3.1.1, manual acknowledgement."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from config.settings import Mqtt
from ingest.link import QOS, SESSION_SECONDS, Delivery, Filters, LinkLost, Listener, kept, shared
from ingest.message import Message

_LEAVE_S = 2.0


class PahoLink:
    """A ``Link``. ``most`` is the largest payload that is handed on whole, in bytes."""

    def __init__(self, settings: Mqtt, filters: Filters, listener: Listener, most: int) -> None:
        self._settings, self._filters, self._listener, self._most = settings, filters, listener, most
        self._client = self._new_client()
        self._begun = False
        self._refused = ""

    def connect(self) -> None:
        """Open the connection; the broker's answer comes in ``serve``."""
        settings = self._settings
        self._refused = ""
        try:
            if not self._begun:
                self._client.connect_async(
                    settings.host, settings.port, settings.keep_alive_s, **self._connect_options()
                )
                self._begun = True
            self._client.reconnect()
        except (OSError, ValueError) as error:  # ValueError: a TLS context that does not fit
            raise LinkLost(f"no broker answers at {settings.host}:{settings.port}: {error}") from error

    def serve(self, wait: float) -> None:
        """Let paho work."""
        result = self._client.loop(wait)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkLost(self._refused or f"the connection to the broker ended: {paho.error_string(result)}")

    def acknowledge(self, packets: Sequence[int]) -> None:
        """Acknowledge one by one, as paho does."""
        for packet in packets:
            self._client.ack(packet, QOS)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0."""
        self._client.publish(topic, payload, qos=0)

    def wake(self) -> None:
        """Do nothing: paho's loop can't be woken, and returns soon."""

    def disconnect(self) -> None:
        """Leave in good order."""
        self._client.disconnect()
        end = time.monotonic() + _LEAVE_S
        while self._client.want_write() and time.monotonic() < end:
            if self._client.loop(0.02) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def close(self) -> None:
        """Do nothing: paho has closed its sockets with the connection."""

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
            client.tls_set(settings.ca_file, settings.cert_file, settings.key_file, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _connect_options(self) -> dict[str, Any]:
        if self._settings.version != 5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_SECONDS
        properties.ReceiveMaximum = self._settings.max_in_flight
        return {"clean_start": False, "properties": properties}

    def _on_connect(
        self, client: paho.Client, _data: object, flags: paho.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._refused = f"the broker at {self._settings.host}:{self._settings.port} refuses: {reason}"
            self._listener.refused(self._refused)
            return
        self._listener.connected(flags.session_present)
        client.subscribe([(topic, QOS) for topic in shared(self._settings, self._filters())])

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._listener.refused(f"the broker refuses a subscription: {reason}")

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(bytes(message._topic))
        packet = message.mid if message.qos else 0
        taken = Message(topic, kept(payload, self._most), len(payload), message.retain)
        self._listener.arrived([Delivery(taken, packet)])
