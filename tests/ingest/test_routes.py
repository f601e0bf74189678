"""Which decoder reads a topic: by its prefix, as the settings say."""

from __future__ import annotations

import pytest

from config.settings import Ingest, Mqtt
from config.source import ConfigError
from ingest.decoders.decoder import Place, Reject
from ingest.routes import Routed, Routes, check_decoders, decoder_class, decoder_names


def routes(**settings: object) -> Routes:
    return Routes.from_settings(Mqtt.model_validate(settings), Ingest())


def test_json_is_spoken_where_nothing_else_is_said() -> None:
    found = routes().find("fleet/bus-1/faults")
    assert isinstance(found, Routed)
    assert (found.place, found.path, found.decoder.name) == (Place("bus-1", "faults"), "bus-1/faults", "json")
    assert routes().filters() == ["fleet/#"]


def test_each_prefix_has_its_decoder() -> None:
    chosen = routes(prefix="a/b", decoders={"c": "json", "a/bc": "json"})
    assert chosen.filters() == ["a/b/#", "c/#", "a/bc/#"]
    for topic, prefix in (("a/b/x/telemetry", "a/b/"), ("c/x/telemetry", "c/"), ("a/bc/x/telemetry", "a/bc/")):
        found = chosen.find(topic)
        assert isinstance(found, Routed)
        assert (found.prefix, found.place) == (prefix, Place("x", "telemetry"))


@pytest.mark.parametrize(
    "topic", ["", "fleet", "fleet/", "fleet/x", "fleet/x/", "fleet/x/y", "fleet/x/telemetry/z", "fleets/x/telemetry"]
)
def test_a_topic_of_another_shape_is_refused(topic: str) -> None:
    found = routes().find(topic)
    assert isinstance(found, Reject)
    assert found.reason == "bad-topic"


def test_a_decoder_that_there_is_not_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"mqtt.decoders: unknown decoder 'jason'; did you mean 'json'\?"):
        check_decoders(Mqtt(decoders={"x": "jason"}))
    for name in ("decoder", "json_salvage", "timestamp", "os"):
        with pytest.raises(ConfigError, match="unknown decoder"):
            decoder_class(name)
    check_decoders(Mqtt(decoders={"x": "json"}))


def test_every_decoder_is_found_by_its_files_name() -> None:
    assert [decoder_class(name).name for name in decoder_names()] == decoder_names()
    assert "json" in decoder_names()
