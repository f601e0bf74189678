"""A program of its own that scores and delivers on tables which others use too.

Arguments: ``DATA CONNECTOR PORT TASK... -- ASSET...``. ``score`` records the same asset-day of each asset; ``deliver``
delivers what is due now; ``restart`` ends every lease first. Prints one JSON object per delivery.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from diagnoses import diagnosis, outcome
from ticket_connectors import built
from ticket_drafts import draft

from fleetdx.data_folder import DataFolder
from fleetdx.wiring import connect_relational


def main(data: str, name: str, port: str, *rest: str) -> None:
    tasks, assets = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    connect_relational(DataFolder(Path(data)))
    from alerts.ledger import DjangoLedger
    from alerts.tickets.outbox import deliver, try_all_at_once

    print("ready", flush=True)
    sys.stdin.readline()  # so that all begin together
    for task in tasks:
        if task == "score":
            for asset in assets:
                DjangoLedger().record([outcome(diagnosis(asset_id=asset))])
        elif task == "restart":
            try_all_at_once()
        else:
            with closing(built(name, int(port))) as connector:
                report = deliver(connector, lambda alert: draft(alert.case.key), datetime.now(UTC))
            print(json.dumps(dataclasses.asdict(report)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
