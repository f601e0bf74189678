"""Turns the errors that a person can mend into a message and an exit code; every other error is a defect and shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

P = ParamSpec("P")

NO = 1
"""Exit code: the answer is no."""
MISSING = 3
"""Exit code: something outside is missing or refuses."""


class CannotGoOn(Exception):
    """The program can't do what was asked; the message says what to do about it."""


def stops_with_a_message(command: Callable[P, None]) -> Callable[P, None]:
    """Decorate a command so that expected errors are printed as one message, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        from config.source import ConfigError
        from fleetdx.terminal import say
        from telemetry.store import StoreError

        try:
            command(*args, **kwargs)
        except ConfigError as error:
            say(f"\n{error}", "What was read is not usable.", "bold red")
            raise typer.Exit(NO) from None
        except (CannotGoOn, StoreError, OSError) as error:
            say(f" {error}", "Stopped:", "bold red")
            raise typer.Exit(MISSING) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return wrapped
