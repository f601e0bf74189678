"""The page of a group: one cause on many assets, or what was too much at once at a site; with all its members."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from alerts.lifecycle import review
from alerts.models import Alert, AlertGroup
from console.context import provided
from console.grouping import group_headline
from console.headline import headline

MOST = 1000
"""Members that the page lists; their tickets name them all."""


@require_GET
def page(request: HttpRequest, group_id: int) -> HttpResponse:
    """Show a group and its members, the most urgent first."""
    group, installation = get_object_or_404(AlertGroup, pk=group_id), provided().installation
    members = group.alerts.select_related("case__carrier").order_by("act_by", "asset_id")
    total = members.count()
    opened = members.exclude(state=Alert.State.CLOSED)
    return render(
        request,
        "console/group.html",
        {
            "group": group_headline(group, list(opened[:MOST]), installation),
            "total": total,
            "closed": total - opened.count(),
            "rows": [headline(alert, installation) for alert in members[:MOST]],
            "unshown": max(0, total - MOST),
            "can_acknowledge": opened.filter(state=Alert.State.UNACKNOWLEDGED).exists(),
            "can_confirm": opened.filter(case=None).exists(),
        },
    )


@require_POST
def acknowledge(request: HttpRequest, group_id: int) -> HttpResponse:
    """Note that the reader has seen all of them."""
    group = get_object_or_404(AlertGroup, pk=group_id)
    for number in group.alerts.exclude(state=Alert.State.CLOSED).values_list("pk", flat=True):
        review.acknowledge(number, request.user)
    messages.success(request, gettext("Acknowledged."))
    return redirect("group", group_id=group_id)


@require_POST
def confirm(request: HttpRequest, group_id: int) -> HttpResponse:
    """Let the reader confirm all of them: they go into the group's ticket."""
    group = get_object_or_404(AlertGroup, pk=group_id)
    for number in group.alerts.exclude(state=Alert.State.CLOSED).filter(case=None).values_list("pk", flat=True):
        review.confirm(number, request.user)
    messages.success(request, gettext("Confirmed: the ticket is on its way."))
    return redirect("group", group_id=group_id)
