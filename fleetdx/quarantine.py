"""``fleetdx quarantine list | show | replay | purge``: what was refused, for the person who mends why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from config.operating_day import NS
from fleetdx.data_folder import DataFolder
from fleetdx.failure import NO, CannotGoOn
from fleetdx.terminal import console, harmless, print_json, progress, say
from fleetdx.wiring import read_installation
from ingest.accounting import Accounting
from ingest.quarantine import Quarantined, Selection

_SHOWN_BYTES = 4_000
_PAGE = 500
"""Messages replayed between two looks at the quarantine: so many payloads are held at one time."""


@contextmanager
def account_of(data: Path) -> Iterator[Accounting]:
    """Open the account below a data folder, also while another process works on it.

    Raises ``CannotGoOn`` where there is none.
    """
    path = DataFolder(data).ingest
    if not path.is_file():
        raise CannotGoOn(f"{data} holds no account of ingest; name the data folder with --data")
    accounting = Accounting(path)
    accounting.open()
    try:
        yield accounting
    finally:
        accounting.close()


def list_quarantined(data: Path, selection: Selection, *, limit: int, as_json: bool) -> None:
    """Show what is in quarantine, newest first."""
    with account_of(data) as accounting:
        total, held = accounting.count_quarantined(selection), accounting.quarantined(limit, selection)
    if as_json:
        print_json({"total": total, "quarantined": [_as_dict(one) for one in held]})
        return
    table = Table("id", "came (UTC)", "asset", "topic", "reason", "what is wrong")
    for one in held:
        cells = (str(one.id), _time(one.at), one.asset_id or "?", one.topic, one.reason, one.detail[:200])
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    if held:
        console.print(table)
    say(f"{total:,} messages in quarantine" + (f", the newest {len(held):,} are shown." if total > len(held) else "."))


def show(data: Path, number: int, *, as_json: bool) -> int:
    """Show one message with its payload; return the exit code."""
    with account_of(data) as accounting:
        found = accounting.quarantined(1, Selection((number,)))
    if not found:
        say(f"there is no message {number} in quarantine")
        return NO
    [one] = found
    text, encoding = _readable(one.payload)
    if as_json:
        print_json(_as_dict(one) | {"payload": text, "encoding": encoding})
        return 0
    for name, value in _as_dict(one).items():
        say(f" {value}", f"{name}:")
    say("", f"payload ({encoding}):")
    say(text if len(text) <= _SHOWN_BYTES else f"{text[:_SHOWN_BYTES]} ... and {len(text) - _SHOWN_BYTES:,} more")
    return 0


def replay(config: Path, data: Path, selection: Selection, *, as_json: bool) -> int:
    """Run messages through the pipeline again, oldest first; return the exit code: 1 if some are still refused."""
    from fleetdx.program import Program  # slow to load, and of no use to the other commands
    from ingest.replay import replay as take_again

    done = {"messages": 0, "stored": 0, "refused": 0, "kept": 0}
    reasons: list[str] = []
    with Program(read_installation(config), DataFolder(data)) as program, progress("messages replayed") as report:
        accounting, pipeline = program.accounting, program.pipeline()
        total = accounting.count_quarantined(selection)
        for held in _oldest_first(accounting, selection):
            replayed = take_again(pipeline, held)
            done["messages"] += 1
            done["stored"] += replayed.stored
            done["refused"] += replayed.refused
            if replayed.why:
                done["kept"] += 1
                if len(reasons) < 20:
                    reasons.append(f"{held.id}: {replayed.why}")
            report(done["messages"], total)
    if as_json:
        print_json(done | {"reasons": reasons})
    else:
        for reason in reasons:
            say(f"  {reason[:300]}")
        say(
            f"{done['messages']:,} messages replayed: {done['stored']:,} samples stored, "
            f"{done['kept']:,} messages stay in quarantine."
        )
    return NO if done["kept"] else 0


def purge(data: Path, selection: Selection, *, as_json: bool) -> None:
    """Remove messages for good."""
    with account_of(data) as accounting:
        gone = accounting.purge_quarantine(selection)
    if as_json:
        print_json({"purged": gone})
    else:
        say(f"{gone:,} messages removed from quarantine.")


def selection_of(
    ids: list[int] | None, reason: str | None, asset: str | None, before_days: float | None, *, everything: bool
) -> Selection:
    """Return what the options of a command select. Raises ``CannotGoOn`` where they select nothing or contradict."""
    before = None if before_days is None else int((datetime.now(UTC).timestamp() - before_days * 86_400) * NS)
    selection = Selection(tuple(ids or ()), reason, asset, before)
    if everything == (selection != Selection()):
        raise CannotGoOn("say which messages: their numbers, --reason, --asset or --older-than; or --all")
    if len(selection.ids) > _PAGE:
        raise CannotGoOn(f"at most {_PAGE} numbers; select by --reason or --asset instead")
    return selection


def _oldest_first(accounting: Accounting, selection: Selection) -> Iterator[Quarantined]:
    """Yield the messages that are in quarantine now: what a replay puts back has a higher number and is left out."""
    last = accounting.newest_quarantined()
    after = 0
    while page := accounting.oldest_quarantined(selection, after=after, last=last, limit=_PAGE):
        yield from page
        after = page[-1].id


def _as_dict(one: Quarantined) -> dict[str, object]:
    return {
        "id": one.id,
        "came": _time(one.at),
        "asset_id": one.asset_id,
        "topic": one.topic,
        "reason": one.reason,
        "detail": one.detail,
        "samples_refused": one.samples,
        "values_flagged": one.flagged,
        "samples_stored": one.stored,
        "bytes": one.size,
        "replayable": one.whole,
    }


def _readable(payload: bytes) -> tuple[str, str]:
    """Return a payload as text that a terminal takes, and how it is written."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload.hex(), "hexadecimal"
    if all(letter.isprintable() or letter in "\n\t" for letter in text):
        return text, "text"
    return payload.hex(), "hexadecimal"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / NS, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
