"""``fleetdx rules probation end``: a version of a rule opens tickets by itself again, by a person's word."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fleetdx.failure import NO, CannotGoOn
from fleetdx.terminal import print_json, say
from fleetdx.tickets import tables_of


def end_probation(name: str, data: Path, *, by: str, reason: str, as_json: bool) -> int:
    """End the probation of a version, or of a rule's only one on probation; return the exit code: 1 if none is.

    Raises ``CannotGoOn`` without a name and a reason, and where a rule's name means several versions.
    """
    with tables_of(data):
        from alerts.outcomes.probation import end, on_probation, sources_on_probation

        meant = sources_on_probation(name)
        if len(meant) > 1:
            raise CannotGoOn(f"several versions of {name} are on probation: name one of {', '.join(meant)}")
        try:
            ended = [source for source in meant if end(source, by, reason, datetime.now(UTC))]
        except ValueError as error:
            raise CannotGoOn(str(error)) from None
        standing = sorted(on_probation().values_list("source", flat=True))
    if as_json:
        print_json({"ended": ended, "on_probation": standing})
    elif ended:
        say(f"{ended[0]} opens tickets by itself again; what is found from now on counts.")
    else:
        say(f"{name} is not on probation; on probation: {', '.join(standing) or 'none'}.")
    return 0 if ended else NO
