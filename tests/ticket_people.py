"""What people do to tickets, through each system's own interface and not through the connector; and what they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from fleetdx.servers import redmine, roundup, rt
from fleetdx.servers.redmine import RedmineServer
from fleetdx.servers.roundup import RoundupServer
from fleetdx.servers.rt import RtServer


class People(Protocol):
    """The people before one ticket system."""

    def set_status(self, number: str, status: str) -> None: ...

    def conclude(self, number: str, fields: Mapping[str, str]) -> None:
        """Close a ticket and leave in it what was found: fields of an outcome, by their names in the settings."""

    def rename(self, number: str, title: str) -> None: ...

    def title(self, number: str) -> str: ...

    def said(self, number: str) -> list[str]:
        """What stands on the ticket in words, oldest first."""

    def count(self, key: str) -> int:
        """How many tickets carry the key, of whatever status."""

    def close(self) -> None: ...


CLOSED = {"roundup": "resolved", "rt": "resolved", "redmine": "Closed"}
WONT_FIX = {"roundup": "wont-fix", "rt": "rejected", "redmine": "Rejected"}


class RoundupPeople:
    def __init__(self, server: RoundupServer) -> None:
        self._client = httpx.Client(
            base_url=f"{server.url}/rest/data/",
            auth=(roundup.USER, roundup.PASSWORD),
            headers={"X-Requested-With": "rest", "Origin": server.url.removesuffix("/fleet")},
            timeout=30,
        )

    def set_status(self, number: str, status: str) -> None:
        self._change(number, {"status": status})

    def conclude(self, number: str, fields: Mapping[str, str]) -> None:
        self._change(number, {"status": CLOSED["roundup"], **fields})

    def rename(self, number: str, title: str) -> None:
        self._change(number, {"title": title})

    def title(self, number: str) -> str:
        return str(self._issue(number)["title"])

    def said(self, number: str) -> list[str]:
        numbers = sorted(int(message["id"]) for message in self._issue(number)["messages"])
        return [self._client.get(f"msg/{one}/content").json()["data"]["data"] for one in numbers]

    def count(self, key: str) -> int:
        answer = self._client.get("issue", params={"external_id:": key})
        return int(answer.json()["data"]["@total_size"])

    def close(self) -> None:
        self._client.close()

    def _issue(self, number: str) -> dict[str, Any]:
        attributes: dict[str, Any] = self._client.get(f"issue/{number}").json()["data"]["attributes"]
        return attributes

    def _change(self, number: str, change: dict[str, str]) -> None:
        tag = self._client.get(f"issue/{number}").headers["etag"]
        answer = self._client.patch(f"issue/{number}", json=change, headers={"If-Match": tag})
        assert answer.status_code == 200, answer.text


class RtPeople:
    def __init__(self, server: RtServer) -> None:
        self._client = httpx.Client(base_url=f"{server.url}/REST/2.0/", auth=(rt.USER, rt.PASSWORD), timeout=60)

    def set_status(self, number: str, status: str) -> None:
        answer = self._client.put(f"ticket/{number}", json={"Status": status})
        assert "changed" in answer.text, answer.text

    def conclude(self, number: str, fields: Mapping[str, str]) -> None:
        named = {_title(name): text for name, text in fields.items()}
        answer = self._client.put(f"ticket/{number}", json={"Status": CLOSED["rt"], "CustomFields": named})
        assert answer.status_code == 200, answer.text

    def rename(self, number: str, title: str) -> None:
        assert "changed" in self._client.put(f"ticket/{number}", json={"Subject": title}).text

    def title(self, number: str) -> str:
        return str(self._client.get(f"ticket/{number}").json()["Subject"])

    def said(self, number: str) -> list[str]:
        query = {"fields": "Content", "per_page": "100"}
        items = self._client.get(f"ticket/{number}/attachments", params=query).json()["items"]
        return [str(item["Content"]) for item in items]

    def count(self, key: str) -> int:
        query = {"query": f"CF.{{ExternalId}} = '{key}'"}
        return int(self._client.get("tickets", params=query).json()["total"])

    def close(self) -> None:
        self._client.close()


class RedminePeople:
    def __init__(self, server: RedmineServer) -> None:
        self._client = httpx.Client(base_url=f"{server.url}/", auth=(redmine.USER, redmine.PASSWORD), timeout=60)
        statuses = self._client.get("issue_statuses.json").json()["issue_statuses"]
        self._statuses = {status["name"]: status["id"] for status in statuses}

    def set_status(self, number: str, status: str) -> None:
        self._change(number, {"status_id": self._statuses[status]})
        assert self._issue(number)["status"]["name"] == status

    def conclude(self, number: str, fields: Mapping[str, str]) -> None:
        numbers = {field["name"]: field["id"] for field in self._issue(number)["custom_fields"]}
        named = [{"id": numbers[_title(name)], "value": text} for name, text in fields.items()]
        self._change(number, {"status_id": self._statuses[CLOSED["redmine"]], "custom_fields": named})

    def rename(self, number: str, title: str) -> None:
        self._change(number, {"subject": title})

    def title(self, number: str) -> str:
        return str(self._issue(number)["subject"])

    def said(self, number: str) -> list[str]:
        issue = self._issue(number)
        return [issue["description"], *(entry["notes"] for entry in issue["journals"] if entry["notes"])]

    def count(self, key: str) -> int:
        """Count without the filter that the connector uses: of all issues, those that hold the key."""
        found, offset = 0, 0
        while True:
            query = {"status_id": "*", "limit": "100", "offset": str(offset)}
            page = self._client.get("issues.json", params=query).json()
            for issue in page["issues"]:
                found += any(field["value"] == key for field in issue["custom_fields"])
            offset += 100
            if offset >= page["total_count"]:
                return found

    def close(self) -> None:
        self._client.close()

    def _issue(self, number: str) -> dict[str, Any]:
        answer = self._client.get(f"issues/{number}.json", params={"include": "journals"})
        issue: dict[str, Any] = answer.json()["issue"]
        return issue

    def _change(self, number: str, change: dict[str, Any]) -> None:
        answer = self._client.put(f"issues/{number}.json", json={"issue": change})
        assert answer.status_code == 204, answer.text


def _title(name: str) -> str:
    """As the fields of our test servers are called, such as ``Root cause``."""
    return name.replace("_", " ").capitalize()


def people_before(name: str, server: Any) -> People:
    """The people before the server of the connector ``name``."""
    kinds: dict[str, type[RoundupPeople] | type[RtPeople] | type[RedminePeople]] = {
        "roundup": RoundupPeople,
        "rt": RtPeople,
        "redmine": RedminePeople,
    }
    return kinds[name](server)
