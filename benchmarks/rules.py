"""How long the expert rules of a large fleet take for one day.

    python -m benchmarks.rules --assets 10000 --rules 200

Evaluates rules on the derived panel of one day and the days before that they look at, as the daily cycle does, and
makes the diagnoses of all assets, with the evidence of those that fire. Every rule is written as an engineer writes
it, compiled from its text; look-backs, functions and ``for`` take turns. Two in a hundred asset-days are silent.
The last line of the output is one JSON object; times in seconds, memory in MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from config.knowledge import FailureMode, Knowledge
from config.register import Asset, AssetType, FaultCode, Register, Signal, Site, Text
from diagnostics.diagnose import rule_diagnoses
from diagnostics.expression import Frame
from diagnostics.rules import RuleSet, load
from models.features import STATISTICS
from models.panel import panel_index

SIGNALS, CODES, MODES = 14, 12, 20
PAST_DAYS = 61
"""Days of base features that evidence is compared with."""
TODAY = date(2026, 11, 23)
CONDITIONS = (
    "s{a}.mean.own > 4 and s{b}.p95.peers > 3 and s{a}.mean > 50",
    's{a}.p95.own > 3.5 and (faults("F{c}", days=3) >= 3 or faults("F{d}", days=7) >= 4)',
    "trend(s{a}.mean, days=5) > 1.5 and s{a}.mean.own > 2.5 and s{b}.mean.own < 4",
    "mean(s{a}.max, days=3) > mean(s{b}.mean, days=7) + 18 and completeness > 0.8",
    'count(s{a}.mean.own > 2, days=5) >= 2 and not s{b}.std.peers > 3 and rate("F{c}") > 0.5',
    's{a}.mean - s{b}.mean > 22 or days_since_fault("F{c}", days=7) <= 1 and s{a}.min.own < -3.5',
    'sequence("F{c}", "F{d}", days=7) and s{a}.mean.own > 2 and s{b}.max.peers > 1',
    'above_peers(faults("F{c}", days=7)) >= 3 and faults_per_hour("F{c}", days=7) > 0.03 count/h and s{a}.p05.own < -1',
    'days_since_maintenance("part") > 200 d and above_peers(s{a}.p95) > 10 and s{b}.std.own > 2.5',
)


def register(assets: int) -> Register:
    """One type, sites of fifty assets."""
    words = Text(en="x", zh="x")
    asset_type = AssetType(
        id="vehicle",
        title=words,
        signals=tuple(Signal(name=f"s{n}", unit="1", period=300) for n in range(SIGNALS)),
        faults=tuple(FaultCode(code=f"F{n}", title=words) for n in range(CODES)),
        components=("part",),
    )
    sites = tuple(Site(id=f"site-{n}", title=f"Site {n}") for n in range(max(1, assets // 50)))
    return Register(
        sites,
        (asset_type,),
        tuple(Asset(id=f"A{n:05}", asset_type="vehicle", site=f"site-{n % len(sites)}") for n in range(assets)),
    )


def rule_set(count: int, known: Register) -> RuleSet:
    """Return ``count`` rules, written to a file and read as an installation's are."""
    knowledge = Knowledge(
        failure_modes={f"M{n}": FailureMode(code=f"M{n}", title=Text(en="x", zh="x")) for n in range(MODES)}
    )
    written = []
    for number in range(count):
        names = {
            "a": number % SIGNALS,
            "b": (number * 5 + 3) % SIGNALS,
            "c": number % CODES,
            "d": (number * 7 + 1) % CODES,
        }
        condition = CONDITIONS[number % len(CONDITIONS)].format(**names)
        written.append(
            f"- rule: rule-{number}\n  asset_type: vehicle\n  when: >-\n    {condition}\n"
            f"  for: {1 + number % 2} of {1 + number % 3} days\n".replace("2 of 1", "1 of 1")
            + (f"  keep_for: 1 days\n  requires: [rule-{number - 1}]\n" if number % 10 == 9 else "")
            + f"  failure_mode: M{number % MODES}\n  severity: major\n  act_within: 48h\n"
            + "  text: {en: Act., zh: 处理。}\n"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules" / "all.yaml"
        path.parent.mkdir()
        path.write_text("".join(written), encoding="utf-8")
        return load([path], known, knowledge, ())


def panels(known: Register, days: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the derived panel of the last ``days`` days, and the base panel of the weeks before."""
    rng = np.random.default_rng(0)
    assets = list(known.assets)
    last = np.datetime64(TODAY, "D")
    all_days = [last - n for n in range(PAST_DAYS - 1, -1, -1)]
    index = panel_index([a for a in assets for _ in all_days], all_days * len(assets))
    silent = rng.random(len(index)) < 0.02
    base: dict[str, np.ndarray] = {}
    for signal in range(SIGNALS):
        for statistic in STATISTICS:
            base[f"s{signal}.{statistic}"] = np.where(silent, np.nan, rng.normal(50, 5, len(index)))
    for code in range(CODES):
        base[f"faults.F{code}.count"] = np.where(silent, np.nan, rng.poisson(0.05, len(index)))
    for code in range(CODES):
        set_that_day = base[f"faults.F{code}.count"] > 0
        earlier, later = np.sort(rng.uniform(0, 24, (2, len(index))), axis=0)
        base[f"faults.F{code}.first"] = np.where(set_that_day, earlier, np.nan)
        base[f"faults.F{code}.last"] = np.where(set_that_day, later, np.nan)
    base["exposure.hours"] = np.where(silent, np.nan, rng.uniform(4, 20, len(index)))
    base["service.part.age"] = rng.integers(0, 400, len(index)).astype(np.float64)
    base["faults.count"] = np.where(silent, np.nan, 0.0)
    base["completeness"] = np.where(silent, 0.0, 1.0)
    past = pd.DataFrame(base, index=index)
    recent = past[past.index.get_level_values(1) > last - np.timedelta64(days, "D")]
    deviations = {
        f"s{signal}.{statistic}.{against}": rng.normal(0, 1, len(recent))
        for signal in range(SIGNALS)
        for statistic in STATISTICS
        for against in ("own", "peers")
    }
    deviations |= {f"faults.F{code}.rate": rng.normal(0, 0.3, len(recent)) for code in range(CODES)}
    return pd.concat([recent, pd.DataFrame(deviations, index=recent.index)], axis=1), past


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--rules", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3, help="the median of so many is told")
    options = parser.parse_args()

    known = register(options.assets)
    started = time.perf_counter()
    rules = rule_set(options.rules, known)
    compiling = time.perf_counter() - started
    days = max(rule.days for rule in rules.rules) + 1
    derived, past = panels(known, days)
    sites = {asset.id: asset.site for asset in known.assets.values()}
    knowledge = Knowledge(
        failure_modes={f"M{n}": FailureMode(code=f"M{n}", title=Text(en="x", zh="x")) for n in range(MODES)}
    )
    evaluating, diagnosing, conditions = [], [], Counter[str]()
    evaluating_cpu, diagnosing_cpu = [], []
    for _ in range(options.runs):
        started, busy = time.perf_counter(), time.process_time()
        results = rules.evaluate("vehicle", Frame(derived, sites), known.assets)
        evaluating.append(time.perf_counter() - started)
        evaluating_cpu.append(time.process_time() - busy)
        started, busy = time.perf_counter(), time.process_time()
        found = rule_diagnoses(results, past, list(sites), TODAY, 0, {}, knowledge)
        diagnosing.append(time.perf_counter() - started)
        diagnosing_cpu.append(time.process_time() - busy)
        conditions = Counter(str(diagnosis.condition) for diagnosis in found)
    report = {
        "assets": options.assets,
        "rules": options.rules,
        "days_looked_at": days,
        "rows": len(derived),
        "compile_s": round(compiling, 2),
        "evaluate_s": round(float(np.median(evaluating)), 2),
        "diagnose_s": round(float(np.median(diagnosing)), 2),
        "evaluate_cpu_s": round(float(np.median(evaluating_cpu)), 2),
        "diagnose_cpu_s": round(float(np.median(diagnosing_cpu)), 2),
        "diagnoses": dict(conditions),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
