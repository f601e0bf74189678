"""``python -m fleetdx``."""

from fleetdx.cli import main

main()
