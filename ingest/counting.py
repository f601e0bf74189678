"""What a stored batch adds to the account, the third of the three steps: counts, days, numbering, quarantine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from config.operating_day import day_bounds, operating_day
from config.register import Register
from config.settings import Ingest
from ingest.batch import Batch, DayCount
from ingest.counters import UNKNOWN_ASSET
from ingest.quarantine import KEPT_BYTES, Quarantined
from ingest.reading import Read, sample_times
from ingest.sequence import Sequence
from ingest.validate import Checked

_SECOND = 1_000_000_000
_MINUTE = 60 * _SECOND


class Counting:
    """Counts what was read and stored into batches for the account; ``use`` a register before the first.

    ``recall`` returns what is recorded of how an asset and topic kind are numbered; it may raise ``sqlite3.Error``,
    and so may what asks it.
    """

    def __init__(self, settings: Ingest, recall: Callable[[str, str], Sequence]) -> None:
        self._settings, self._recall = settings, recall
        self._late = int(settings.late_after_minutes * _MINUTE)
        self._numberings: dict[tuple[str, str], Sequence] = {}
        self._days: dict[str, tuple[int, int, date]] = {}
        self._unknown = (0, 0)  # the minute, and messages of unknown assets in it

    def use(self, register: Register) -> None:
        """Note days by the sites of this register from now on."""
        self._register = register
        self._days.clear()

    def settle(self, account: Batch) -> None:
        """Go on from a batch that is recorded: numberings are tried on copies until then."""
        self._numberings |= account.sequences

    def count(self, account: Batch, read: Read, now: int) -> None:
        """Count a message that came at ``now`` (ns)."""
        checked, decoded, asset_id = read.checked, read.decoded, read.asset_id
        retained, tally = read.message.retained, account.of(asset_id)
        tally.messages += 1
        tally.lost += decoded.lost
        if asset_id != UNKNOWN_ASSET:
            tally.hear(None if retained else now, decoded.online)
        if decoded.offline:
            for other in decoded.offline:
                if other in self._register.assets:
                    account.of(other).hear(None, False)
        times = sample_times(checked)
        stored = len(times)
        first = newest = times[0] if times else None
        if stored > 1:
            first, newest = min(times), max(times)
        is_new = decoded.seq is None or self.is_new(account, read, newest)
        if newest is not None and not retained:
            tally.data_at, tally.clock = now, newest - now
        # What is refused as a whole stays refused, whatever its number: it must not pass for a repetition.
        if decoded.repeated or (stored and not is_new):
            tally.duplicates += max(1, stored + checked.rejected)
            return
        tally.stored += stored
        tally.quarantined += checked.rejected
        if first is not None and newest is not None:
            self._note_days(account, asset_id, checked, first, newest, stored)
            if not retained:
                if newest < now - self._late:
                    tally.late += stored
                elif first < now - self._late:
                    tally.late += sum([time < now - self._late for time in times])
                if newest > now + _SECOND:
                    tally.ahead += 1
        if checked.rejects.counts:
            tally.flagged_values += max(0, len(checked.rejects) - checked.rejected)
            for reason, n in checked.rejects.counts.items():
                tally.reasons[reason] = tally.reasons.get(reason, 0) + n
            if asset_id != UNKNOWN_ASSET or self._keeps_unknown(now):
                account.quarantined.append(quarantined(read, now, stored))
            else:
                tally.quarantine_dropped += 1

    def _keeps_unknown(self, now: int) -> bool:
        """Whether quarantine takes one more message of an asset that nobody knows, this minute.

        So a flood of strangers does not push out what of known assets waits there.
        """
        minute, kept = self._unknown
        if now // _MINUTE != minute:
            minute, kept = now // _MINUTE, 0
        self._unknown = (minute, kept + 1)
        return kept < self._settings.unknown_per_minute

    def is_new(self, account: Batch, read: Read, newest: int | None) -> bool:
        """Whether the message's number did not come before; it has come from now on. ``newest`` is of its samples."""
        seq = read.decoded.seq
        if seq is None:
            return True
        key = (read.asset_id, read.kind)
        numbering = account.sequences.get(key)
        if numbering is None:
            known = self._numberings.get(key) or self._recall(*key)
            numbering = account.sequences[key] = known.copy()
        return numbering.take(seq, newest)

    def _note_days(self, account: Batch, asset_id: str, checked: Checked, first: int, newest: int, stored: int) -> None:
        count = self.day(account, asset_id, first)
        if newest < self._days[asset_id][1]:  # mostly all of a message is of one day
            count.faults += len(checked.faults)
            count.measurements += stored - len(checked.faults)
            count.last = max(count.last, newest)
            return
        for measured in checked.measurements:
            for time in measured.times:
                self.day(account, asset_id, time).measurements += 1
        for fault in checked.faults:
            self.day(account, asset_id, fault.time).faults += 1

    def day(self, account: Batch, asset_id: str, at: int) -> DayCount:
        """Return the count of the operating day that holds an instant, which is noted in it."""
        low, high, day = self._days.get(asset_id, (0, 0, date.min))
        if not low <= at < high:  # the last day of each asset is remembered, since samples mostly come in order
            zone = self._register.site_of(asset_id).zone
            day = operating_day(zone, at)
            self._days[asset_id] = (*day_bounds(zone, day), day)
        count = account.days.get((asset_id, day))
        if count is None:
            count = account.days[asset_id, day] = DayCount(0, 0, at, at)
        elif at > count.last:
            count.last = at
        elif at < count.first:
            count.first = at
        return count


def quarantined(read: Read, now: int, stored: int) -> Quarantined:
    """Return what quarantine keeps of a message that came at ``now`` (ns), beside the samples that were stored."""
    message, rejects = read.message, read.checked.rejects
    reason = next(iter(rejects)).reason
    size = max(message.size, len(message.payload))
    topic, detail = _printable(message.topic[:300]), _printable(str(rejects))
    refused, flagged = read.checked.rejected, max(0, len(rejects) - read.checked.rejected)
    kept = message.payload[:KEPT_BYTES]
    return Quarantined(now, read.asset_id, topic, reason, detail, size, kept, refused, flagged, stored)


def _printable(text: str) -> str:
    """Return text that a terminal and a database take as it is: what a gateway wrote may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
