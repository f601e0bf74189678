"""One walk through the pages in a real browser, which takes policy, styles and forms at their word."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

import pytest
from console_pages import CAR, Console
from servers import missing

pytestmark = pytest.mark.slow


@pytest.fixture
def served(console: Console, alert: int, password: str) -> Iterator[str]:
    """The address of the console, served as the program serves it."""
    from waitress import wasyncore
    from waitress.server import create_server

    from console.wsgi import application

    sockets: dict[int, object] = {}
    server = create_server(application, map=sockets, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    server.task_dispatcher.shutdown()
    thread.join(timeout=5)
    wasyncore.close_all(sockets)


def test_a_person_logs_in_looks_at_the_evidence_and_acknowledges(
    console: Console, served: str, alert: int, password: str
) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("chromium", "apt install chromium")
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{served}/alerts/{alert}/")
        page.fill("#id_username", "anna")
        page.fill("#id_password", password)
        page.click("main button")
        page.wait_for_url(f"{served}/alerts/{alert}/")
        assert "Air supply leak" in page.inner_text("h1")
        chart = page.locator("img.chart")
        chart.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('img.chart').complete")
        assert chart.is_visible()
        assert chart.evaluate("image => image.naturalWidth") > 500
        # The style sheet was let in: a badge has a background of its own.
        assert (
            page.locator(".badge.major").first.evaluate("e => getComputedStyle(e).backgroundColor")
            != "rgba(0, 0, 0, 0)"
        )
        page.get_by_role("button", name="Acknowledge").click()
        page.wait_for_selector("text=Acknowledged.")
        assert page.get_by_role("button", name="Acknowledge").count() == 0
        page.get_by_role("link", name="Alerts").click()
        assert CAR in page.inner_text("table")
        assert "acknowledged" in page.inner_text("table")
        page.get_by_role("button", name="Log out anna").click()
        page.wait_for_selector("#id_username")
        browser.close()
    assert complaints == []
    assert asked
    assert [url for url in asked if not url.startswith(served)] == []
