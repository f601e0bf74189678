"""Redmine 5 (https://www.redmine.org), over its REST interface.

An issue field ``ExternalId`` holds the key; Redmine wants it by number, which is found by its name. Redmine refuses no
second issue of one key: the outbox, which lets one deliverer at a time have a ticket, and the search before each
creation are what keeps it single. It takes unknown fields, statuses and filters without a word and ignores them, so
what it holds is read back, and what it finds is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from urllib.parse import quote

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, Standing, TicketDraft
from alerts.connectors.http import body, send
from alerts.connectors.paging import in_order_of_change
from alerts.connectors.standing import Words, instant
from config.settings import Tickets

log = logging.getLogger(__name__)

FIELD = "ExternalId"
_SUBJECT = 255
"""Characters of a subject that Redmine takes; a longer one it refuses."""
_PAGE = 100
_UNSEEN = frozenset({403, 404})
# Without it Redmine leaves out what is closed.
_WHATEVER_STATUS = [("set_filter", "1"), ("f[]", "status_id"), ("op[status_id]", "*")]


class RedmineConnector:
    """Files issues in the project ``queue`` (its identifier). Without a user the secret is the account's API key."""

    name: ClassVar[str] = "redmine"

    def __init__(
        self,
        url: str,
        project: str,
        user: str | None,
        secret: str,
        *,
        words: Words | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._url, self._project = url.rstrip("/"), project
        self._words = words or Words.from_settings(Tickets())
        self._known_field: int | None = None
        self._client = httpx.Client(
            base_url=f"{self._url}/",
            auth=(user, secret) if user is not None else None,
            headers={} if user is not None else {"X-Redmine-API-Key": secret},
            timeout=timeout_s,
        )

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url``, ``queue``, and a user with a password or an API key alone."""
        if settings.url is None or settings.queue is None:
            raise Permanent("connector redmine needs url and queue")
        words = Words.from_settings(settings)
        return cls(settings.url, settings.queue, settings.user, secret, words=words, timeout_s=settings.timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def search(self, key: str) -> FiledTicket | None:
        """Return the issue whose key this is, in whatever project it lies by now."""
        query = [*_WHATEVER_STATUS, *self._filter("=", key), ("sort", "id:asc"), ("limit", str(_PAGE))]
        found = self._issues(query)["issues"]
        for issue in found:
            if _key(issue) == key:
                return self._filed(issue)
        if any(_key(issue).casefold() != key.casefold() for issue in found):
            raise Permanent(f"Redmine does not search by the field {FIELD}: is it marked as a filter?")
        return None

    def create(self, draft: TicketDraft) -> FiledTicket:
        """File the issue with its text as the description, unless its key is there already."""
        filed = self.search(draft.key)
        if filed is not None:
            return filed
        wanted = {
            "project_id": self._project,
            "subject": " ".join(draft.title.split())[:_SUBJECT],
            "description": draft.body,
            "custom_fields": [{"id": self._field(), "value": draft.key}],
        }
        made = body(send(self._client, "POST", "issues.json", json={"issue": wanted}))["issue"]
        held, _ = self._issue(str(made["id"]))
        if _key(held) != draft.key:
            number = made["id"]
            raise Permanent(
                f"Redmine filed {draft.key} as issue {number} and dropped its key: has its tracker {FIELD}?"
            )
        return self._filed(held)

    def read(self, external_key: str) -> FiledTicket:
        """Return the issue as it now stands."""
        return self._filed(self._issue(external_key)[0])

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Add a note that ends with the key, with the first open status that the account may give."""
        issue, said = self._issue(external_key)
        mark = f"[{draft.key}]"
        if any(mark in note for note in said):
            return self._filed(issue)
        change: dict[str, Any] = {"notes": f"{draft.body}\n\n{mark}"}
        if self._filed(issue).standing is not Standing.OPEN:
            for status in issue.get("allowed_statuses") or ():
                if self._standing(status) is Standing.OPEN:
                    change["status_id"] = status["id"]
                    break
        send(self._client, "PUT", f"issues/{quote(external_key, safe='')}.json", json={"issue": change})
        issue, said = self._issue(external_key)
        if not any(mark in note for note in said):
            raise Permanent(f"Redmine dropped the note on issue {external_key}: may its account add notes?")
        return self._filed(issue)

    def changed(self, since: datetime) -> Iterator[FiledTicket]:
        """Yield the issues with a key that changed."""
        return in_order_of_change(self._changed_page, since)

    def _changed_page(self, since: datetime, number: int) -> tuple[list[FiledTicket], bool]:
        at = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = [
            *_WHATEVER_STATUS, *self._filter("*"), ("f[]", "updated_on"), ("op[updated_on]", ">="),
            ("v[updated_on][]", at), ("sort", "updated_on:asc,id:asc"), ("limit", str(_PAGE)),
            ("offset", str(number * _PAGE)),
        ]  # fmt: skip
        found = self._issues(query)
        return [self._filed(issue) for issue in found["issues"]], found["total_count"] > (number + 1) * _PAGE

    def _filter(self, operator: str, *values: str) -> list[tuple[str, str]]:
        """Return the filter by the field of keys, in the long form: the short one reads ``|`` and ``~`` as its own."""
        name = f"cf_{self._field()}"
        return [("f[]", name), (f"op[{name}]", operator), *((f"v[{name}][]", value) for value in values)]

    def _issues(self, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
        return body(send(self._client, "GET", "issues.json", params=httpx.QueryParams(list(query))))

    def _issue(self, number: str) -> tuple[dict[str, Any], list[str]]:
        """Return an issue, and what was said on it."""
        path, query = f"issues/{quote(number, safe='')}.json", {"include": "journals,allowed_statuses"}
        issue: dict[str, Any] = body(send(self._client, "GET", path, params=query))["issue"]
        return issue, [str(entry.get("notes") or "") for entry in issue.get("journals") or ()]

    def _field(self) -> int:
        """Return the number of the field of keys.

        Only administrators may list fields. Others see those that are the project's own, and those that an issue has.
        Raises ``Permanent`` where it is in neither: each attempt would leave an issue without a key.
        """
        if self._known_field is None:
            path, query = f"projects/{quote(self._project, safe='')}.json", {"include": "issue_custom_fields"}
            project = body(send(self._client, "GET", path, params=query))["project"]
            fields = list(project.get("issue_custom_fields") or ())
            newest = [*_WHATEVER_STATUS, ("project_id", self._project), ("limit", "1")]
            for issue in self._issues(newest)["issues"]:
                fields += issue.get("custom_fields") or ()
            numbers = [int(field["id"]) for field in fields if field.get("name") == FIELD]
            if not numbers:
                raise Permanent(
                    f"Redmine's project {self._project} has no issue field {FIELD} that its account can see"
                )
            self._known_field = numbers[0]
        return self._known_field

    def _standing(self, status: Mapping[str, Any]) -> Standing:
        return self._words.standing(str(status.get("name", "")), closed=bool(status.get("is_closed")))

    def _filed(self, issue: Mapping[str, Any]) -> FiledTicket:
        status = issue.get("status") or {}
        return FiledTicket(
            external_key=str(issue["id"]),
            url=f"{self._url}/issues/{issue['id']}",
            key=_key(issue),
            status=str(status.get("name", "")),
            standing=self._standing(status),
            changed_at=instant(issue.get("updated_on")),
            fields={
                str(field["name"]): _text(field.get("value"))
                for field in issue.get("custom_fields") or ()
                if field["name"] != FIELD and _text(field.get("value"))
            },
        )


def _key(issue: Mapping[str, Any]) -> str:
    """Return the key that an issue carries, or nothing."""
    for field in issue.get("custom_fields") or ():
        if field.get("name") == FIELD:
            return _text(field.get("value"))
    return ""


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "" if value is None else str(value)
