"""The evidence chart: well-formed SVG that runs nothing, fetches nothing, and keeps its text as text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from console_pages import CAR, Console
from diagnoses import DAY

from config.operating_day import day_bounds
from config.register import AssetType, Register, Text
from diagnostics.records import Evidence
from telemetry.records import FaultEvent

SVG = "{http://www.w3.org/2000/svg}"


def _chart(console: Console, alert: int, language: str = "en", days: object = 28) -> str:
    answer = console.client(language).get(f"/alerts/{alert}/chart.svg?days={days}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    text: str = answer.content.decode()
    return text


def _texts(svg: str) -> str:
    root = ElementTree.fromstring(svg)
    return " ".join("".join(element.itertext()) for element in root.iter(f"{SVG}text"))


def test_the_chart_is_an_image_that_runs_nothing_and_fetches_nothing(console: Console, alert: int) -> None:
    svg = _chart(console, alert)
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    elements = list(root.iter())
    assert len(elements) > 100
    names = {element.tag.rpartition("}")[2].lower() for element in elements}
    assert not names & {"script", "foreignobject", "image", "iframe", "a", "animate", "set", "link"}
    for element in elements:
        for name, value in element.attrib.items():
            local = name.rpartition("}")[2].lower()
            assert not local.startswith("on")
            if local == "href":
                assert value.startswith("#")
            assert "url(" not in value.replace("url(#", "")
    for style in root.iter(f"{SVG}style"):
        assert "url" not in (style.text or "")
        assert "@import" not in (style.text or "")


def test_it_names_signals_units_faults_the_zone_and_the_moment_of_the_alert(console: Console) -> None:
    end = day_bounds(console.installation.register.site_of(CAR).zone, DAY)[1]
    told = _texts(_chart(console, console.raise_alert(known_at=datetime.fromtimestamp(end / 1e9, UTC))))
    for words in (
        "Compressor duty cycle", "[%]", "Compressor temperature", "[°C]", "Anomaly score", "Faults set",
        "Compressor running too long A2102", "2026-04-07 … 2026-05-04, Europe/Madrid", "alert", "no data",
    ):  # fmt: skip
        assert words in told, words


def test_chinese_stays_text(console: Console, alert: int) -> None:
    svg = _chart(console, alert, "zh-CN")
    told = _texts(svg)
    for words in ("空压机负载率", "空压机运转时间过长 A2102"):
        assert words in told, told


@pytest.mark.slow
def test_the_same_chart_is_the_same_file_and_days_are_those_that_are_offered(console: Console, alert: int) -> None:
    assert _chart(console, alert) == _chart(console, alert)
    assert "2026-04-21 … 2026-05-04" in _texts(_chart(console, alert, days=14))
    for wrong in ("-5", "999999999"):
        assert "2026-04-07 … 2026-05-04" in _texts(_chart(console, alert, days=wrong))


TITLES = ("costs $5 or $6", "$\\frac{1}{$", "<b>&amp;</b>]]>", "a_b^c {x} \\n", "泵 $α$")
SIGNALS = ("compressor_duty", "compressor_temp", "door_close_time")
CODES = ("A2101", "A2102", "D3101", "H4101", "B5101")


@pytest.mark.parametrize("titles", [TITLES, TITLES[::-1]], ids=["in order", "the last first"])
def test_titles_are_drawn_as_they_are_written(console: Console, titles: tuple[str, ...]) -> None:
    """A chart has the titles of three signals and of all codes that were set: two show each title in either place."""
    register = console.installation.register
    asset_type = register.type_of(CAR)
    of_signal, of_code = dict(zip(SIGNALS, titles, strict=False)), dict(zip(CODES, titles, strict=True))
    signals, faults = (
        tuple(
            one.model_copy(update={"title": Text(en=told[name], zh=told[name])})
            if (name := named(one)) in told
            else one
            for one in known
        )
        for known, named, told in (
            (asset_type.signals, lambda signal: signal.name, of_signal),
            (asset_type.faults, lambda fault: fault.code, of_code),
        )
    )
    given = {name: getattr(asset_type, name) for name in AssetType.model_fields}
    changed = AssetType(**(given | {"signals": signals, "faults": faults}))
    types = tuple(changed if t.id == changed.id else t for t in register.asset_types.values())
    console.use(
        replace(
            console.installation,
            register=Register(tuple(register.sites.values()), types, tuple(register.assets.values())),
        )
    )
    noon = day_bounds(register.site_of(CAR).zone, DAY)[0] + 12 * 3600 * 10**9
    console.store.write([], [FaultEvent(CAR, code, noon) for code in CODES])
    evidence = tuple(Evidence(f"{name}.mean", 1.0, 2.0) for name in SIGNALS)
    told = _texts(_chart(console, console.raise_alert(evidence=evidence), days=14))
    drawn = " ".join(told.split())
    for name, title in of_signal.items():
        assert f"{' '.join(title.split())} [" in drawn, name
    for code, title in of_code.items():
        assert f"{' '.join(title.split())} {code}" in drawn, code


def test_an_asset_without_any_telemetry_has_a_chart_too(console: Console) -> None:
    told = _texts(_chart(console, console.raise_alert("EMU-07-A")))
    assert "Compressor duty cycle" in told
    assert "Asia/Shanghai" in told


def test_repairs_and_failures_are_marked_on_their_days(console: Console, alert: int) -> None:
    from alerts.ledger import DjangoLedger

    noon = 1_000_000_000 * 1_777_896_000  # 2026-05-04 12:00 UTC
    long_ago = noon - int(timedelta(days=200).total_seconds()) * 1_000_000_000
    DjangoLedger().note_field_records(
        [(CAR, noon, "failure", "AIR-LEAK"), (CAR, long_ago, "maintenance", "air supply: leak mended")]
    )
    told = _texts(_chart(console, alert))
    assert "failure" in told
    assert "repair" not in told


@pytest.mark.slow
def test_charts_are_drawn_side_by_side(console: Console, alert: int) -> None:
    expected = _chart(console, alert)
    from django.db import connection

    def drawn(_: int) -> Any:
        try:
            return _chart(console, alert)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(drawn, range(5))) == {expected}
