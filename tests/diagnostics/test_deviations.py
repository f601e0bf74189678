"""What made a day anomalous, as an engineer reads it."""

from __future__ import annotations

import pytest

from config.register import AssetType, FaultCode, Signal, Text
from diagnostics.deviations import anomaly_text

COMPRESSOR = AssetType(
    id="air",
    title=Text(en="Air", zh="风源"),
    signals=(Signal(name="duty", unit="1", period=60, title=Text(en="Compressor duty", zh="压缩机负载率")),
             Signal(name="oil_temp", unit="degC", period=60)),
    faults=(FaultCode(code="A2101", title=Text(en="Low pressure", zh="压力低")),),
)  # fmt: skip


def test_a_deviation_is_said_once_with_its_counterpart_in_the_signals_own_words() -> None:
    beside = {"duty.p95.own": 4.13, "duty.p95.peers": 0.31}
    text = anomaly_text(
        [("duty.p95.own", 4.13), ("duty.p95.peers", 0.31), ("faults.A2101.rate", 1.2)], beside, COMPRESSOR
    )
    assert text.en == (
        "No rule explains it, but the day was unlike this asset's days before: "
        "Compressor duty p95 +4.1 σ against its own 60 days (peers +0.3); "
        "fault A2101 Low pressure more often than before."
    )
    assert text.zh == (
        "没有规则能解释，但该日与该设备以往不同："
        "压缩机负载率第 95 百分位与自身 60 天相比 +4.1 σ（同类 +0.3）；故障 A2101 压力低 比以往频繁。"
    )


@pytest.mark.parametrize(
    ("part", "en", "zh"),
    [
        (("oil_temp.mean.peers", -3.0), "oil temp mean -3.0 σ against its peers that day",
         "oil temp均值与当日同类设备相比 -3.0 σ"),
        (("oil_temp.max.own", 2.0), "oil temp max +2.0 σ against its own 60 days",
         "oil temp最高值与自身 60 天相比 +2.0 σ"),
        (("duty.p95.drift", 5.0), "Compressor duty p95 +5.0 standard errors, drifting from its own 60 days",
         "压缩机负载率第 95 百分位相对自身 60 天缓慢漂移 +5.0 倍标准误"),
        (("faults.novel", 1.0), "a fault code not seen on it before", "出现以往未见的故障代码"),
        (("faults.excess", 9.0), "faults of all codes more often than before", "故障总数比以往增多"),
        (("faults.X9.excess", 9.0), "fault X9 more often than before", "故障 X9 比以往频繁"),
    ],
)  # fmt: skip
def test_each_kind_of_column_has_its_words(part: tuple[str, float], en: str, zh: str) -> None:
    text = anomaly_text([part], {}, COMPRESSOR)
    assert text.en.endswith(f": {en}.")
    assert text.zh.endswith(f"：{zh}。")


def test_nothing_strange_has_nothing_to_say() -> None:
    assert anomaly_text([], {}, COMPRESSOR).en == "No unexplained anomaly."
