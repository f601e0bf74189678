"""Jira Service Management, Cloud and Data Center, over Jira's REST interface (version 2, which both speak).

The label ``fleetdx:<key>`` holds the key. It is given in the request that creates the issue, so no issue is ever
without it, and JQL compares labels whole, where it searches texts by words. Searches say nothing of status and
resolution: ``resolution != X`` leaves out issues that have none. Transitions are chosen by what they lead to, because
their names are the installation's, in its language.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import quote, unquote

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, Standing, TicketDraft
from alerts.connectors.http import body, send
from alerts.connectors.paging import in_order_of_change
from alerts.connectors.standing import Words, instant
from config.settings import Tickets

log = logging.getLogger(__name__)

_LABEL = "fleetdx"
_SUMMARY, _DESCRIPTION = 255, 32_767
"""Characters that Jira takes; it refuses more."""
_PAGE = 100
_PAGES_OF_COMMENTS = 50
_WESTMOST = timedelta(hours=12)
"""JQL reads times in the zone of the account: what is asked for begins so much earlier."""
_NOT_SO = frozenset({400, 409})


class JiraConnector:
    """Files issues of ``kind`` in the project ``queue`` (its key). Without a user the secret is an access token."""

    name: ClassVar[str] = "jira"

    def __init__(
        self,
        url: str,
        project: str,
        kind: str,
        user: str | None,
        secret: str,
        *,
        words: Words | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._url, self._project, self._kind = url.rstrip("/"), project, kind
        self._words = words or Words.from_settings(Tickets())
        self._known_cloud: bool | None = None
        self._client = httpx.Client(
            base_url=f"{self._url}/rest/api/2/",
            auth=(user, secret) if user is not None else None,
            headers={} if user is not None else {"Authorization": f"Bearer {secret}"},
            timeout=timeout_s,
        )

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url``, ``queue``, ``kind``, and a user with an API token or an access token alone."""
        if settings.url is None or settings.queue is None or settings.kind is None:
            raise Permanent("connector jira needs url, queue and kind")
        return cls(
            settings.url, settings.queue, settings.kind, settings.user, secret,
            words=Words.from_settings(settings), timeout_s=settings.timeout_s,
        )  # fmt: skip

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def search(self, key: str) -> FiledTicket | None:
        """Return the issue whose label is this key, in whatever project it lies by now."""
        found = self._found(f'labels = "{_label(key)}" ORDER BY created ASC', "labels", None)
        for issue in found["issues"]:
            if _key(issue) == key:  # Jira compares without regard to case
                return self.read(str(issue["key"]))
        return None

    def create(self, draft: TicketDraft) -> FiledTicket:
        """File the issue with its key among the labels, unless it is there already."""
        filed = self.search(draft.key)
        if filed is not None:
            return filed
        fields = {
            "project": {"key": self._project},
            "issuetype": {"name": self._kind},
            "summary": " ".join(draft.title.split())[:_SUMMARY],
            "description": draft.body[:_DESCRIPTION],
            "labels": [_LABEL, _label(draft.key)],
        }
        return self.read(str(body(send(self._client, "POST", "issue", json={"fields": fields})).get("key", "")))

    def read(self, external_key: str) -> FiledTicket:
        """Return the issue as it now stands."""
        answer = body(send(self._client, "GET", _path(external_key), params={"fields": "*all", "expand": "names"}))
        return self._filed(answer, answer.get("names") or {})

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Comment with the key at the end, and take the first transition that leads out of what is done."""
        mark = f"[{draft.key}]"
        if not self._was_said(external_key, mark):
            comment = {"body": f"{draft.body[: _DESCRIPTION - len(mark) - 2]}\n\n{mark}"}
            send(self._client, "POST", f"{_path(external_key)}/comment", json=comment)
        held = self.read(external_key)
        return held if held.standing is Standing.OPEN else self._opened_again(held)

    def changed(self, since: datetime) -> Iterator[FiledTicket]:
        """Yield the issues of ours that changed."""
        tokens: dict[int, str | None] = {}

        def page(begin: datetime, number: int) -> tuple[list[FiledTicket], bool]:
            at = (begin - _WESTMOST).astimezone(UTC).strftime("%Y/%m/%d %H:%M")
            jql = f'labels = "{_LABEL}" AND updated >= "{at}" ORDER BY updated ASC, key ASC'
            found = self._found(jql, "*all", tokens.get(number) if number else None, number * _PAGE)
            tokens[number + 1] = found.get("nextPageToken")
            more = bool(found.get("nextPageToken")) or int(found.get("total") or 0) > (number + 1) * _PAGE
            return [self._filed(issue, found.get("names") or {}) for issue in found["issues"]], more

        return in_order_of_change(page, since)

    def _found(self, jql: str, fields: str, token: str | None, start: int = 0) -> dict[str, Any]:
        """Search. Cloud has a path of its own for it, with a token for each next page; Data Center counts."""
        query: dict[str, Any] = {"jql": jql, "fields": [fields], "maxResults": _PAGE}
        if self._is_cloud():
            query |= {"expand": "names"} | ({"nextPageToken": token} if token else {})
            return body(send(self._client, "POST", "search/jql", json=query))
        return body(send(self._client, "POST", "search", json=query | {"expand": ["names"], "startAt": start}))

    def _is_cloud(self) -> bool:
        if self._known_cloud is None:
            answer = body(send(self._client, "GET", "serverInfo"))
            self._known_cloud = str(answer.get("deploymentType", "")).casefold() == "cloud"
        return self._known_cloud

    def _was_said(self, number: str, mark: str) -> bool:
        for page in range(_PAGES_OF_COMMENTS):
            query = {"orderBy": "-created", "startAt": str(page * _PAGE), "maxResults": str(_PAGE)}
            comments = body(send(self._client, "GET", f"{_path(number)}/comment", params=query)).get("comments", [])
            if any(mark in str(comment.get("body")) for comment in comments):
                return True
            if len(comments) < _PAGE:
                return False
        raise Permanent(f"Jira's {number} has more than {_PAGE * _PAGES_OF_COMMENTS:,} comments")

    def _opened_again(self, held: FiledTicket) -> FiledTicket:
        """Return the issue after a transition to what is not done; as it was where there is none or it is refused."""
        path = f"{_path(held.external_key)}/transitions"
        for transition in body(send(self._client, "GET", path)).get("transitions", []):
            if not _is_done(transition.get("to") or {}):
                wish = {"transition": {"id": transition["id"]}}
                answer = send(self._client, "POST", path, accept=_NOT_SO, json=wish)
                if answer.status_code in _NOT_SO:
                    log.warning("Jira does not open %s again: %s", held.external_key, answer.text[:300])
                return self.read(held.external_key)
        return held

    def _filed(self, issue: Mapping[str, Any], names: Mapping[str, str]) -> FiledTicket:
        fields = issue["fields"]
        status, resolution = fields.get("status") or {}, fields.get("resolution") or {}
        return FiledTicket(
            external_key=str(issue["key"]),
            url=f"{self._url}/browse/{issue['key']}",
            key=_key(issue),
            status=str(status.get("name", "")),
            standing=self._words.standing(
                str(status.get("name", "")), str(resolution.get("name", "")), closed=_is_done(status)
            ),
            changed_at=instant(_iso(str(fields.get("updated", "")))),
            fields={
                name: text
                for number, name in names.items()
                if number.startswith("customfield_") and (text := _text(fields.get(number)))
            }
            | ({"resolution": str(resolution["name"])} if resolution.get("name") else {}),
        )


def _path(number: str) -> str:
    return f"issue/{quote(number, safe='')}"


def _label(key: str) -> str:
    """Return the label of a key: labels hold no blanks, and JQL's own marks have to be told from ours."""
    return f"{_LABEL}:{quote(key, safe='/:.-_')}"


def _key(issue: Mapping[str, Any]) -> str:
    for label in issue["fields"].get("labels") or ():
        if str(label).startswith(f"{_LABEL}:"):
            return unquote(str(label).removeprefix(f"{_LABEL}:"))
    return ""


def _is_done(status: Mapping[str, Any]) -> bool:
    return str((status.get("statusCategory") or {}).get("key")) == "done"


def _iso(written: str) -> str:
    """Return a time such as ``2026-05-04T03:02:01.000+0000`` with the colon that ISO 8601 asks for."""
    return re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", written)


def _text(value: object) -> str:
    """Return a field as text: a choice by its value, a person or version by its name, several by commas."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        return str(value.get("value") or value.get("displayName") or value.get("name") or "")
    return "" if value is None else str(value)
