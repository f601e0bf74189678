"""How every rule and model did, and which are on probation."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from alerts.outcomes.probation import end
from alerts.outcomes.scorecard import ScoreCard, score_cards
from alerts.tickets.text import failure_mode_of
from config.installation import Installation
from console.context import provided
from console.wording import probation, reader_language


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show a card a version, those on probation first."""
    installation = provided().installation
    settings = installation.settings
    types = {asset.id: asset.asset_type for asset in installation.register.assets.values()}
    cards = score_cards(settings.outcomes, settings.models.horizon_days, types)
    cards.sort(key=lambda card: (not card.probation, card.source.partition("@")[0], -card.last_day.toordinal()))
    return render(
        request,
        "console/scorecard.html",
        {
            "rows": [_row(card, installation) for card in cards],
            "horizon": settings.models.horizon_days,
            "min_judged": settings.outcomes.min_judged,
            "min_precision": f"{settings.outcomes.min_precision:.0%}",
            "confidence": f"{settings.outcomes.confidence:.0%}",
        },
    )


@require_POST
def release(request: HttpRequest) -> HttpResponse:
    """Take a version off probation, for a reason."""
    source, why = request.POST.get("source", "")[:120], request.POST.get("why", "")
    try:
        ended = end(source, request.user.get_username(), why, datetime.now(UTC))
    except ValueError:
        messages.error(request, gettext("Say why: it stands beside your name."))
    else:
        if ended:
            messages.success(request, gettext("It opens tickets by itself again."))
    return redirect("scorecard")


def _row(card: ScoreCard, installation: Installation) -> dict[str, object]:
    modes = [failure_mode_of(code, installation.knowledge).title for code in card.failure_modes]
    return {
        "card": card,
        "probation": probation(card.probation),
        "released_on": str(card.release.at.date()) if card.release is not None else "",
        "first_day": str(card.first_day),
        "last_day": str(card.last_day),
        "modes": ", ".join(title.in_language(reader_language()) for title in modes),
        "precision": "–" if card.precision is None else f"{card.precision:.0%}",
        "bounds": f"{card.at_least:.0%} – {card.at_most:.0%}" if card.judged else "",
        "lead": "–" if card.lead_median_days is None else f"{card.lead_median_days:.1f}",
        "lead_p10": "–" if card.lead_p10_days is None else f"{card.lead_p10_days:.1f}",
    }
