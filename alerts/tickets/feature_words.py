"""What a feature is called in a reader's language: ``oil_temp.p95.own`` in words, for tickets and pages. Pure."""

from __future__ import annotations

import re

from config.register import AssetType, Language

_STATISTICS = {
    "mean": ("daily mean", "日均值"),
    "std": ("spread over the day", "当日波动"),
    "min": ("lowest of the day", "当日最低"),
    "max": ("highest of the day", "当日最高"),
    "p05": ("low end of the day (5th percentile)", "当日低位（第 5 百分位）"),
    "p95": ("high end of the day (95th percentile)", "当日高位（第 95 百分位）"),
    "count": ("times set", "出现次数"),
    "rate": ("how often, against its own past", "出现频度（与自身历史相比）"),
    "novel": ("codes not seen on it before", "以往未见的代码"),
    "drift": ("slow drift against its own past", "相对自身历史的缓慢漂移"),
    "excess": ("more often than exposure lets expect", "超出运行时长所能预期的频度"),
    "own": ("against its own past", "与自身历史相比"),
    "peers": ("against the other assets of its site that day", "与同段其他设备当日相比"),
}
_WHOLE = {
    "score": ("anomaly score", "异常评分"),
    "exposure.hours": ("hours in operation", "运行小时"),
    "exposure.distance": ("distance covered", "行驶里程"),
    "completeness": ("share of the expected data", "数据完整率"),
}
_OVER_DAYS = {
    "faults": ("{what}: times set within {days} days", "{what}：{days} 天内出现次数"),
    "trend": ("{what}: change per day over {days} days", "{what}：{days} 天内的日均变化"),
    "mean": ("{what}: mean over {days} days", "{what}：{days} 天均值"),
    "median": ("{what}: median over {days} days", "{what}：{days} 天中位数"),
    "min": ("{what}: lowest of {days} days", "{what}：{days} 天最低"),
    "max": ("{what}: highest of {days} days", "{what}：{days} 天最高"),
    "days_since_fault": ("{what}: days since it was last set", "{what}：距上次出现的天数"),
}
_ALL_FAULTS = ("all faults", "全部故障")
_CALL = re.compile(r"""(\w+)\(\s*['"]?([\w.-]*)['"]?\s*(?:,\s*days\s*=\s*(\d+)\s*)?\)""")


def feature_title(feature: str, asset_type: AssetType, language: Language) -> str:
    """Return a feature, or a term of a rule such as ``faults("A2101", days=3)``, in words; itself where it has none."""
    which = 0 if language == "en" else 1
    if call := _CALL.fullmatch(feature):
        function, argument, days = call.groups()
        about_faults = "fault" in function
        what = _fault(argument, asset_type, language) if about_faults else feature_title(argument, asset_type, language)
        told = _OVER_DAYS.get(function)
        return told[which].format(what=what, days=days) if told and (days or "{days}" not in told[which]) else feature
    if feature in _WHOLE or feature.partition(".")[0] == "score":
        return _WHOLE.get(feature, _WHOLE["score"])[which]
    name, *rest = feature.split(".")
    if name == "faults":
        code, what = (".".join(rest[:-1]), rest[-1]) if rest else ("", "count")
        words = [_fault(code, asset_type, language), what]
    else:
        words = [signal_title(name, asset_type, language), *rest]
    separator = ", " if language == "en" else "，"
    return separator.join([words[0], *(_STATISTICS[w][which] if w in _STATISTICS else w for w in words[1:])])


def signal_title(signal: str, asset_type: AssetType, language: Language) -> str:
    """Return what an asset type calls a signal."""
    known = asset_type.signal.get(signal)
    if known is None or known.title is None:
        return signal.replace("_", " ")
    return known.title.in_language(language)


def _fault(code: str, asset_type: AssetType, language: Language) -> str:
    known = asset_type.fault.get(code)
    if known is None:
        return code or _ALL_FAULTS[0 if language == "en" else 1]
    return f"{code} {known.title.in_language(language)}"
