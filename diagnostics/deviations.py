"""What made a day anomalous, in words: ``oil_temp.p95.own`` and its value as an engineer would say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config.register import AssetType, Text
from models.derive import LOOK_BACK_DAYS

_SAID = 3
_STATISTICS = {
    "mean": "均值",
    "std": "波动",
    "min": "最低值",
    "max": "最高值",
    "p05": "第 5 百分位",
    "p95": "第 95 百分位",
}


def anomaly_text(parts: Sequence[tuple[str, float]], beside: Mapping[str, float], asset_type: AssetType) -> Text:
    """Return the first few parts of a score in words, each beside what the others did.

    ``parts`` are features and their values, the largest first; ``beside`` the day's other deviations by column.
    """
    said: dict[tuple[str, str], Text] = {}
    for feature, value in parts:
        about, _, kind = feature.rpartition(".")
        # A day far from its own past is mostly far from the others too: that is one thing to say, not two.
        told = (about, "own" if kind == "peers" else kind)
        if told not in said and len(said) < _SAID:
            said[told] = _part(about, kind, value, beside, asset_type)
    if not said:
        return Text(en="No unexplained anomaly.", zh="无未明异常。")
    english, chinese = "; ".join(text.en for text in said.values()), "；".join(text.zh for text in said.values())
    return Text(
        en=f"No rule explains it, but the day was unlike this asset's days before: {english}.",
        zh=f"没有规则能解释，但该日与该设备以往不同：{chinese}。",
    )


def _part(about: str, kind: str, value: float, beside: Mapping[str, float], asset_type: AssetType) -> Text:
    if about.startswith("faults"):
        return _faults(about.removeprefix("faults").removeprefix("."), kind, asset_type)
    signal, _, statistic = about.partition(".")
    known = asset_type.signal.get(signal)
    title = known.title if known is not None and known.title is not None else None
    plain = signal.replace("_", " ")
    en = f"{title.en if title else plain} {statistic} {value:+.1f}"
    zh = f"{title.zh if title else plain}{_STATISTICS.get(statistic, statistic)}"
    if kind == "drift":
        return Text(
            en=f"{en} standard errors, drifting from its own {LOOK_BACK_DAYS} days",
            zh=f"{zh}相对自身 {LOOK_BACK_DAYS} 天缓慢漂移 {value:+.1f} 倍标准误",
        )
    other = beside.get(f"{about}.{'peers' if kind == 'own' else 'own'}")
    if kind == "own":
        with_en = f" (peers {other:+.1f})" if other is not None else ""
        with_zh = f"（同类 {other:+.1f}）" if other is not None else ""
        return Text(
            en=f"{en} σ against its own {LOOK_BACK_DAYS} days{with_en}",
            zh=f"{zh}与自身 {LOOK_BACK_DAYS} 天相比 {value:+.1f} σ{with_zh}",
        )
    with_en = f" (its own {LOOK_BACK_DAYS} days {other:+.1f})" if other is not None else ""
    with_zh = f"（自身 {LOOK_BACK_DAYS} 天 {other:+.1f}）" if other is not None else ""
    return Text(en=f"{en} σ against its peers that day{with_en}", zh=f"{zh}与当日同类设备相比 {value:+.1f} σ{with_zh}")


def _faults(code: str, kind: str, asset_type: AssetType) -> Text:
    if kind == "novel":
        return Text(en="a fault code not seen on it before", zh="出现以往未见的故障代码")
    if not code:
        return Text(en="faults of all codes more often than before", zh="故障总数比以往增多")
    known = asset_type.fault.get(code)
    en, zh = (f"{code} {known.title.en}", f"{code} {known.title.zh}") if known is not None else (code, code)
    return Text(en=f"fault {en} more often than before", zh=f"故障 {zh} 比以往频繁")
