"""``POST /api/outcomes/``: what the workshop found, sent by a ticket system and signed."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from alerts.outcomes.inbound import STATUS, Refused, count_refusal, receive
from console.context import provided

log = logging.getLogger(__name__)
_NOT_NOW = 503


@csrf_exempt
@login_not_required
@require_POST
def page(request: HttpRequest) -> JsonResponse:
    """Take one outcome; what is refused changes nothing but the count of its reason."""
    here, now = provided().installation, datetime.now(UTC)
    variable = here.settings.outcomes.secret_env
    secret = os.environ.get(variable, "") if variable else ""
    try:
        if not secret:
            raise Refused("not-configured", "nobody may send outcomes here")
        body = request.read(here.settings.outcomes.max_body_bytes + 1)
        header = request.headers.get("X-Fleetdx-Signature", "")
        key, new = receive(header, body, secret, here.settings, here.knowledge, now)
    except Refused as refused:
        log.info("An outcome is refused (%s): %s", refused.reason, refused)
        count_refusal(refused.reason, now)
        answer = {"error": str(refused), "reason": refused.reason, "field": refused.field}
        return JsonResponse(answer, status=STATUS[refused.reason])
    except UnreadablePostError:
        count_refusal("malformed", now)
        return JsonResponse({"error": "the body ended too early", "reason": "malformed", "field": ""}, status=400)
    except DatabaseError as error:
        log.error("An outcome cannot be taken now: %s", error)
        return JsonResponse({"error": "the database does not answer; send it again"}, status=_NOT_NOW)
    return JsonResponse({"ticket": key, "new": new})
