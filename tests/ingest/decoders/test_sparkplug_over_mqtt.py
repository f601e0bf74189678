"""A Sparkplug edge node with a device over a real broker: asked for its birth, understood, and missed in its death."""

from __future__ import annotations

import threading
import time
import uuid

import paho.mqtt.client as paho
from ingesting import ingesting
from mosquitto_server import until
from paho.mqtt.enums import CallbackAPIVersion
from sparkplug_messages import DOUBLE, bd_seq, double, metric, payload, rebirth_control

from config.register import Register
from fleetdx.servers.mosquitto import MosquittoServer
from ingest.accounting import Accounting
from telemetry.memory import MemoryStore


class EdgeNode:
    """One node with one device, as the specification wants it: its death is the broker's to publish."""

    def __init__(self, port: int, namespace: str, device: str) -> None:
        self._namespace, self._device = namespace, device
        self.seq, self._ts = 0, time.time_ns() // 1_000_000 - 60_000
        self.commands: list[bytes] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"edge-{uuid.uuid4().hex}", protocol=paho.MQTTv311)
        self._client.will_set(f"{namespace}/g/NDEATH/n", payload([bd_seq(4)], seq=None, ts=1), qos=1)
        self._client.on_message = lambda _client, _data, message: self.commands.append(message.payload)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(f"{namespace}/g/NCMD/n", qos=1)
        assert self._subscribed.wait(10)

    def _send(self, kind: str, *metrics: bytes) -> None:
        topic = f"{self._namespace}/g/{kind}/n" + (f"/{self._device}" if kind[0] == "D" else "")
        self._ts += 1
        content = payload(metrics, seq=self.seq, ts=self._ts)
        self._client.publish(topic, content, qos=1).wait_for_publish(10)
        self.seq = (self.seq + 1) % 256

    def be_born(self) -> None:
        self.seq = 0
        self._send("NBIRTH", bd_seq(4), rebirth_control())
        self._send("DBIRTH", metric(double(1000), name="rpm", alias=5, datatype=DOUBLE))

    def data(self, rpm: float) -> None:
        self._send("DDATA", metric(double(rpm), alias=5))

    def die(self) -> None:
        """Without a word: the broker publishes the will."""
        sock = self._client.socket()
        assert sock is not None
        sock.close()
        self._client.loop_stop()


def test_a_node_is_asked_for_its_birth_understood_and_missed(
    mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting
) -> None:
    store, namespace = MemoryStore(), f"{topic_prefix}-spBv1.0"
    decoders = {namespace: "sparkplug"}
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, decoders=decoders):
        node = EdgeNode(mosquitto.port, namespace, "bus-1")
        node.seq = 9
        node.data(1)  # we do not know this node: it was born before us
        until(lambda: node.commands)
        assert b"Node Control/Rebirth" in node.commands[0]
        node.be_born()
        for rpm in range(1, 20):
            node.data(rpm)
        node.seq += 3
        node.data(20)
        until(lambda: accounting.counters().stored == 21)
        status = {one.asset_id: one for one in accounting.status()}["bus-1"]
        assert (status.online, status.lost, status.reasons) == (True, 3, {"no-birth": 1})
        node.data(21)
    # Another process of ours: what was told at birth is known.
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, decoders=decoders):
        node.data(22)
        until(lambda: accounting.counters().stored == 23)
        node.die()
        until(lambda: {one.asset_id: one for one in accounting.status()}["bus-1"].online is False)
    counters = accounting.counters()
    assert (counters.stored, counters.quarantined, counters.lost, counters.reasons) == (23, 1, 3, {"no-birth": 1})
    found = [v for frame in store.read_measurements(["bus-1"], ["rpm"], 0, 2**62) for v in frame["rpm"]]
    assert sorted(found) == [*map(float, range(1, 23)), 1000.0]
    assert len(node.commands) == 1
