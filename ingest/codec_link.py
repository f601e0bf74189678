"""The link by a socket and mqtt5, a codec without input and output: MQTT 5 alone, at a fraction of paho's cost.

Messages are read and acknowledged by the bufferful, where paho pays for each. See docs/decisions/0009.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum

import mqtt5

from config.settings import Mqtt
from ingest.link import SESSION_SECONDS, Delivery, Filters, LinkLost, Listener, kept, shared, tls_context
from ingest.message import Message

_READ_BYTES = 262_144
_CONNECT_S = 10.0
_SEND_S = 30.0
_ANSWER_S = 20.0
"""Silence after a ping for which the connection is taken for dead."""
_FAILURE = 128  # reason codes from here on; they are declared as integers, and are none


class CodecLink:
    """A ``Link``. ``most`` is the largest payload that is handed on whole, in bytes."""

    def __init__(self, settings: Mqtt, filters: Filters, listener: Listener, most: int) -> None:
        self._settings, self._filters, self._listener, self._most = settings, filters, listener, most
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._waking, self._woken = socket.socketpair()
        self._waking.setblocking(False)
        self._woken.setblocking(False)
        self._keep_alive = float(settings.keep_alive_s)
        self._last_sent = self._last_heard = 0.0
        self._pinged: float | None = None

    def connect(self) -> None:
        """Connect, and wait for the broker's answer."""
        settings = self._settings
        self._close()
        where = f"{settings.host}:{settings.port}"
        try:
            self._socket = socket.create_connection((settings.host, settings.port), _CONNECT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if settings.tls:
                context, plain = tls_context(settings), self._socket
                # In two steps: a handshake that fails would leave a socket that nobody holds.
                secured = context.wrap_socket(plain, server_hostname=settings.host, do_handshake_on_connect=False)
                self._socket = secured
                secured.do_handshake()
            password = os.environ.get(settings.password_env) if settings.password_env else None
            packet = mqtt5.ConnectPacket(
                settings.client_id,
                username=settings.username,
                password=None if password is None else password.encode(),
                clean_start=False,
                keep_alive=settings.keep_alive_s,
                session_expiry_interval=SESSION_SECONDS,
                receive_max=settings.max_in_flight,
            )
            self._send(packet.write())
            answer = self._answer()
        except (OSError, ValueError, LinkLost) as error:
            self._close()
            raise LinkLost(f"no broker answers at {where}: {error}") from error
        if int(answer.reason_code) >= _FAILURE:
            self._close()
            why = f"the broker at {where} refuses: {_words(answer.reason_code)}"
            self._listener.refused(why)
            raise LinkLost(why)
        if answer.server_keep_alive is not None:
            self._keep_alive = float(answer.server_keep_alive)
        self._listener.connected(answer.session_present)
        filters = [
            mqtt5.TopicFilter(name, max_qos=mqtt5.QoS.AT_LEAST_ONCE) for name in shared(settings, self._filters())
        ]
        self._send(mqtt5.SubscribePacket(1, filters).write())
        self._read_packets()  # what came with the answer

    def serve(self, wait: float) -> None:
        """Wait for the broker, read what it sent, and keep the connection alive."""
        connection = self._connected()
        pending = connection.pending() if isinstance(connection, ssl.SSLSocket) else 0
        if not pending:
            try:
                readable, _, _ = select.select([connection, self._woken], [], [], wait)
            except (OSError, ValueError) as error:
                raise self._lost(error) from error
            if self._woken in readable:
                self._woken.recv(4096)
            pending = connection in readable
        if pending:
            self._receive(connection)
            self._read_packets()
        self._stay_alive()

    def acknowledge(self, packets: Sequence[int]) -> None:
        """Acknowledge all of them in one write."""
        if packets:
            self._send(b"".join([mqtt5.PubAckPacket(packet).write() for packet in packets]))

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0."""
        self._send(mqtt5.PublishPacket(topic, payload).write())

    def wake(self) -> None:
        """Make the select return."""
        with suppress(OSError):  # it is full of earlier ones, or closed
            self._waking.send(b"!")

    def disconnect(self) -> None:
        """Leave in good order."""
        with suppress(LinkLost):
            self._send(mqtt5.DisconnectPacket().write())
        self._close()

    def close(self) -> None:
        """Close the connection and what it is woken by."""
        self._close()
        self._waking.close()
        self._woken.close()

    def _answer(self) -> mqtt5.ConnAckPacket:
        end = time.monotonic() + _CONNECT_S
        while (left := end - time.monotonic()) > 0:
            connection = self._connected()
            connection.settimeout(left)
            self._receive(connection)
            try:
                packet, size = mqtt5.read(memoryview(bytes(self._received)))
            except IndexError:
                continue
            del self._received[:size]
            if isinstance(packet, mqtt5.ConnAckPacket):
                return packet
            break
        raise ValueError("it does not speak MQTT 5")

    def _receive(self, connection: socket.socket) -> None:
        try:
            chunk = connection.recv(_READ_BYTES)
        except ssl.SSLWantReadError:
            return
        except OSError as error:
            raise self._lost(error) from error
        if not chunk:
            raise self._lost("the broker closed it")
        self._last_heard, self._pinged = time.monotonic(), None
        self._received += chunk

    def _read_packets(self) -> None:
        deliveries, most, ended = list[Delivery](), self._most, ""
        at, end = 0, len(self._received)
        with memoryview(self._received) as received:
            try:
                while at < end and not ended:
                    with received[at:] as rest:
                        packet, size = mqtt5.read(rest)
                    at += size
                    if isinstance(packet, mqtt5.PublishPacket):
                        payload = packet.payload
                        message = Message(packet.topic, kept(payload, most), len(payload), packet.retain)
                        deliveries.append(Delivery(message, packet.packet_id or 0))
                    else:
                        ended = self._other(packet)
            except IndexError:
                pass  # the rest of it is still on its way
            except ValueError as error:
                ended = f"it sent what can't be read: {error}"
            except BaseException as error:
                # 0.8.0 panics on a topic that is not UTF-8, and its PanicException is no Exception.
                if type(error).__name__ != "PanicException":
                    raise
                ended = "it sent what can't be read"
        del self._received[:at]
        if deliveries:
            self._listener.arrived(deliveries)
        if ended:
            raise self._lost(ended)

    def _other(self, packet: mqtt5.Packet) -> str:
        """Take note of what is no message; return why the connection ends, if it does."""
        if isinstance(packet, mqtt5.SubAckPacket):
            for code in packet.reason_codes:
                if int(code) >= _FAILURE:
                    self._listener.refused(f"the broker refuses a subscription: {_words(code)}")
        elif isinstance(packet, mqtt5.DisconnectPacket):
            return f"the broker ends it: {_words(packet.reason_code)}"
        return ""

    def _stay_alive(self) -> None:
        now = time.monotonic()
        if self._pinged is not None and now - self._pinged > min(_ANSWER_S, self._keep_alive):
            raise self._lost("the broker does not answer any more")
        if self._pinged is None and now - min(self._last_sent, self._last_heard) > self._keep_alive / 2 > 0:
            self._send(mqtt5.PingReqPacket().write())
            self._pinged = now

    def _send(self, packet: bytes) -> None:
        connection = self._connected()
        try:
            connection.settimeout(_SEND_S)
            connection.sendall(packet)
        except OSError as error:
            raise self._lost(error) from error
        self._last_sent = time.monotonic()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise LinkLost("not connected")
        return self._socket

    def _lost(self, why: object) -> LinkLost:
        self._close()
        return LinkLost(f"the connection to the broker ended: {why}")

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._received.clear()
        self._pinged = None
        self._last_sent = self._last_heard = time.monotonic()


def _words(code: IntEnum) -> str:
    return code.name.replace("_", " ").lower()
