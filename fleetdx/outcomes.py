"""``fleetdx outcomes import``: what the workshop found of cases that were closed elsewhere, from a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fleetdx.failure import NO, CannotGoOn
from fleetdx.terminal import print_json, progress, say
from fleetdx.tickets import tables_of
from fleetdx.wiring import read_installation

_SHOWN = 20
_TOLD = 1_000


def import_outcomes(file: Path, config: Path, data: Path, *, dry_run: bool, as_json: bool) -> int:
    """Take the findings of a file; return the exit code: 1 if one of its rows is refused.

    Raises ``CannotGoOn`` where the file as a whole cannot be taken; then nothing of it is.
    """
    installation = read_installation(config)
    with tables_of(data):
        from alerts.outcomes.file_import import take_rows
        from alerts.outcomes.finding_file import BadFile, rows_of

        try:
            rows = rows_of(file, installation.settings.outcomes.max_body_bytes)
        except BadFile as error:
            raise CannotGoOn(f"{file}: {error}") from None
        with progress("outcomes imported") as tell:
            now = datetime.now(UTC)
            report = take_rows(rows, installation.settings, installation.knowledge, now, dry_run=dry_run, progress=tell)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "rows": report.rows,
                "new": report.new,
                "known": report.known,
                "refused": dict(report.refused),
                "problems": report.problems[:_TOLD],
            }
        )
    else:
        for problem in report.problems[:_SHOWN]:
            say(f"  {problem}")
        if len(report.problems) > _SHOWN:
            say(f"  ... and {len(report.problems) - _SHOWN:,} more; --json tells {_TOLD:,} of them.")
        refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.refused.items())) or "none"
        say(
            f"{report.new:,} outcomes {'would be' if dry_run else 'are'} new, {report.known:,} were known, "
            f"refused: {refused}."
        )
    return NO if report.problems else 0
