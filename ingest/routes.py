"""From a topic to its decoder: which one reads what comes under which prefix."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from config.nearest import did_you_mean
from config.operating_day import NS
from config.settings import Ingest, Mqtt
from config.source import ConfigError, Problem
from ingest import decoders
from ingest.decoders.decoder import Decoded, Decoder, Limits, Place, Reject, Request, SessionDecoder, place_of
from ingest.decoders.json import JsonDecoder
from ingest.memory import Memory

_TOPICS, _LONGEST_TOPIC = 20_000, 200
"""Topics that are remembered: reading one costs as much as checking what it says."""


class Routed(NamedTuple):
    """Where a message belongs, and who reads it; ``prefix`` ends with a slash, ``path`` is the rest of the topic.

    One of ``decoder`` and ``session`` reads it, told apart here once: to ask each message takes as long as to read it.
    """

    place: Place
    prefix: str
    path: str
    decoder: Decoder | None
    session: SessionDecoder | None


class Routes:
    """Decoders by topic prefix; no prefix is the beginning of another."""

    def __init__(self, by_prefix: Mapping[str, Decoder | SessionDecoder], memory: Memory | None = None) -> None:
        self._by_prefix = {f"{prefix}/": decoder for prefix, decoder in by_prefix.items()}
        self._found: dict[str, Routed] = {}
        self.memory = memory or Memory()
        """What the decoders remember, which whoever uses them settles."""

    @classmethod
    def from_settings(cls, mqtt: Mqtt, ingest: Ingest, memory: Memory | None = None) -> Routes:
        """Return the routes that the settings choose. Raises ``ConfigError`` where there is no such decoder."""
        memory = memory or Memory()
        ahead = int(ingest.allowed_clock_skew_s * NS)
        limits = Limits(ingest.max_payload_bytes, ingest.max_samples, ahead=ahead)
        chosen = {mqtt.prefix: JsonDecoder.name} | dict(mqtt.decoders)
        classes = {prefix: decoder_class(name) for prefix, name in chosen.items()}
        return cls(
            {
                prefix: kind(limits, memory) if issubclass(kind, SessionDecoder) else kind(limits)
                for prefix, kind in classes.items()
            },
            memory,
        )

    def filters(self) -> list[str]:
        """Return what is to be subscribed to."""
        return [
            prefix + below
            for prefix, decoder in self._by_prefix.items()
            for below in (decoder.filters if isinstance(decoder, SessionDecoder) else ("#",))
        ]

    def find(self, topic: str) -> Routed | Reject:
        """Read a topic."""
        known = self._found.get(topic)
        if known is not None:
            return known
        found = self._find(topic)
        if isinstance(found, Routed) and len(topic) <= _LONGEST_TOPIC:
            if len(self._found) >= _TOPICS:
                self._found.clear()
            self._found[topic] = found
        return found

    def _find(self, topic: str) -> Routed | Reject:
        for prefix, decoder in self._by_prefix.items():
            if topic.startswith(prefix):
                path = topic[len(prefix) :]
                if isinstance(decoder, SessionDecoder):
                    place = decoder.place(path)
                    return Routed(place, prefix, path, None, decoder) if isinstance(place, Place) else place
                place = place_of(path)
                return Routed(place, prefix, path, decoder, None) if isinstance(place, Place) else place
        expected = " or ".join(self._by_prefix)
        return Reject("bad-topic", "topic", f"{topic[:100]!r} does not begin with {expected}")

    @staticmethod
    def decode(
        routed: Routed, payload: bytes, now: int, *, known: bool, again: bool = False
    ) -> tuple[Decoded, Sequence[Request]]:
        """Read a payload that came at ``now`` (ns); return with it what is to be published, topics being whole."""
        if routed.decoder is not None:
            decoded = routed.decoder.decode(routed.place.kind, payload)
        else:
            assert routed.session is not None
            decoded = routed.session.read(routed.path, payload, now, known=known, again=again)
        if not decoded.requests:
            return decoded, ()
        return decoded, [Request(routed.prefix + path, answer) for path, answer in decoded.requests]


def check_decoders(mqtt: Mqtt) -> None:
    """Raise ``ConfigError`` where the settings name a decoder that there is not."""
    for name in mqtt.decoders.values():
        decoder_class(name)


def decoder_names() -> list[str]:
    """Return the names that ``decoder_class`` takes."""
    files = [module.name for module in pkgutil.iter_modules(decoders.__path__)]
    return sorted(name for name in files if _class_in(name) is not None)


def decoder_class(name: str) -> type[Decoder] | type[SessionDecoder]:
    """Return the class of ``ingest/decoders/<name>.py``. Raises ``ConfigError`` where there is none."""
    found = _class_in(name) if name.isidentifier() else None
    if found is None:
        message = f"mqtt.decoders: unknown decoder {name!r}{did_you_mean(name, decoder_names())}"
        raise ConfigError([Problem("settings.yaml", 0, message)])
    return found


def _class_in(name: str) -> type[Decoder] | type[SessionDecoder] | None:
    try:
        module = importlib.import_module(f"ingest.decoders.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"ingest.decoders.{name}":
            raise
        return None
    for value in vars(module).values():
        if isinstance(value, type) and getattr(value, "name", None) == name:
            return cast("type[Decoder] | type[SessionDecoder]", value)
    return None
