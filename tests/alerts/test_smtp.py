"""Tickets by e-mail, to a real mail server: what it accepted, what it refused, and what comes twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_server import PASSWORD, USER, MailServer, running_mail_server
from ticket_drafts import draft

from alerts.connectors.connector import Permanent, Retryable, Standing, connector_class
from alerts.connectors.smtp import SmtpConnector
from config.settings import Tickets
from fleetdx.servers.process import free_port

SENDER, DESK = "fleetdx@example.org", "desk@example.org"


def settings(port: int, scheme: str = "smtp", **given: str) -> Tickets:
    return Tickets(
        connector="smtp", url=f"{scheme}://127.0.0.1:{port}", queue=DESK, sender=SENDER, timeout_s=20, **given
    )


def built(port: int, scheme: str = "smtp", *, password: str = "", **given: str) -> SmtpConnector:
    return SmtpConnector.from_settings(settings(port, scheme, **given), password)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with running_mail_server("smtp", tmp_path) as running:
        yield running


def test_it_is_found_by_its_name() -> None:
    assert connector_class("smtp") is SmtpConnector


def test_the_mail_server_gets_the_ticket_whole(server: MailServer) -> None:
    wanted = draft()
    filed = built(server.port).create(wanted)
    [message] = server.messages
    assert server.recipients == [[DESK]]
    assert (message["From"], message["To"]) == (SENDER, DESK)
    assert message["Subject"] == f"[{wanted.key}] {wanted.title}"
    assert message["Message-ID"] == filed.external_key
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content().splitlines() == wanted.body.splitlines()
    assert (filed.key, filed.url, filed.standing) == (wanted.key, "", Standing.OPEN)
    assert built(server.port).read(filed.external_key) == filed


@pytest.mark.parametrize("key", ["a b+c&d=e#f%20g/X/1", "A:1.2_3-4/X-_.Y/1", "it's\\\"<@>{1}/X/1", "车" * 36 + "/X/1"])
def test_a_key_of_odd_characters_comes_back_from_the_message_id(server: MailServer, key: str) -> None:
    filed = built(server.port).create(draft(key))
    assert built(server.port).read(filed.external_key).key == key
    assert server.messages[0]["Message-ID"] == filed.external_key
    assert "\n" not in filed.external_key


def test_what_comes_twice_has_one_message_id_and_another_ticket_another(server: MailServer) -> None:
    connector, wanted = built(server.port), draft()
    server.answers = ["accept and hang up"]
    with pytest.raises(Retryable):
        connector.create(wanted)  # accepted, and we do not know
    assert connector.search(wanted.key) is None  # nobody can say
    connector.create(wanted)
    connector.create(draft())
    first, second, third = (message["Message-ID"] for message in server.messages)
    assert first == second != third


def test_a_failure_that_is_back_is_a_reply_to_its_ticket(server: MailServer) -> None:
    connector = built(server.port)
    filed = connector.create(draft())
    again = draft(filed.key.removesuffix("1") + "2")
    assert connector.follow_up(filed.external_key, again) == filed
    reply = server.messages[1]
    assert reply["In-Reply-To"] == reply["References"] == filed.external_key
    assert reply["Message-ID"] != filed.external_key
    assert again.key in reply["Subject"]


def test_a_title_of_several_lines_adds_no_header(server: MailServer) -> None:
    built(server.port).create(draft(title="one\r\nBcc: everybody@example.org\n\ntwo"))
    [message] = server.messages
    assert "Bcc" not in message
    assert message["Subject"].endswith("one Bcc: everybody@example.org two")


@pytest.mark.parametrize(
    ("answer", "kind"), [("451 later", Retryable), ("554 never", Permanent), ("552 full", Permanent)]
)
def test_what_may_pass_is_retryable_and_what_is_refused_is_permanent(
    server: MailServer, answer: str, kind: type[Exception]
) -> None:
    server.answers = [answer]
    with pytest.raises(kind, match=answer.replace(" ", ": ")):
        built(server.port).create(draft())
    assert server.messages == []


def test_a_server_that_is_away_may_be_asked_again() -> None:
    with pytest.raises(Retryable, match="ConnectionRefused"):
        built(free_port()).create(draft())


# The server does not know that its connections are encrypted where TLS comes first.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_over_tls_with_a_password(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_mail_server(scheme, tmp_path, log_in=True) as server:
        with pytest.raises(Retryable, match="CERTIFICATE_VERIFY_FAILED"):
            built(server.port, scheme, user=USER, password=PASSWORD).create(draft())
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
        with pytest.raises(Retryable, match="535"):
            built(server.port, scheme, user=USER, password="wrong").create(draft())
        with pytest.raises(Retryable, match="530"):
            built(server.port, scheme).create(draft())
        assert server.messages == []
        built(server.port, scheme, user=USER, password=PASSWORD).create(draft())
        assert len(server.messages) == 1


def test_a_server_that_offers_no_encryption_gets_nothing_where_it_was_asked_for(server: MailServer) -> None:
    with pytest.raises(Retryable, match="STARTTLS"):
        built(server.port, "smtp+starttls").create(draft())
    assert server.messages == []


def test_a_password_never_travels_unencrypted() -> None:
    with pytest.raises(Permanent, match="unencrypted"):
        built(25, "smtp", user=USER, password=PASSWORD)


def test_it_says_what_is_missing_or_wrong() -> None:
    with pytest.raises(Permanent, match="needs url, queue and sender"):
        SmtpConnector.from_settings(Tickets(), "")
    with pytest.raises(Permanent, match="begins with"):
        SmtpConnector.from_settings(Tickets(url="https://x.example", queue=DESK, sender=SENDER), "")
    for wrong in ("desk", "Desk <desk@example.org>", "a@b@c d", "@x", "x@"):
        with pytest.raises(Permanent, match="needs a mailbox"):
            SmtpConnector.from_settings(Tickets(url="smtp://x", queue=wrong, sender=SENDER), "")


def test_a_message_of_somebody_else_is_not_read() -> None:
    with pytest.raises(Permanent, match="no message of ours"):
        built(25).read("<123@example.org>")
