"""What is done for alerts as time passes, whatever is scored meanwhile; called every few seconds by the scheduler."""

from __future__ import annotations

from datetime import datetime

from alerts.support.letters import send_letters
from alerts.support.mail import Post
from alerts.support.notification import call, end_holds
from alerts.tickets.dispatch import arrange
from config.installation import Installation


def attend(installation: Installation, post: Post | None, now: datetime) -> int:
    """End what is due to end, group what is new, call whoever's turn it is, write to them; return how many letters.

    Nothing depends on how often it is called, nor on which of several processes does. Without ``post`` nobody is
    written to.
    """
    register, settings = installation.register, installation.settings
    end_holds(register, settings, now)
    arrange(register, settings.alerts, now)
    call(register, settings, now)
    return send_letters(post, installation, now) if post is not None else 0
