"""The README's picture: runs the demo, logs in with headless Chromium, and takes the page of a ticketed alert.

make screenshots                      writes docs/alert.png
make screenshots ARGS="--all DIR"     every page, in both languages, into DIR
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
MOST_BYTES = 300_000
WIDTH, HEIGHT = 1180, 900
_CONSOLE = re.compile(r"Console\s+(http://\S+)\s+name (\S+)\s+password (\S+)")


def demo(folder: Path) -> subprocess.Popen[str]:
    """Start the demo and return it; its standard error says where the console is."""
    command = [sys.executable, "-m", "fleetdx", "demo", "--data", str(folder), "--port", "0"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={"COLUMNS": "200", **_environment()})


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def address(running: subprocess.Popen[str]) -> tuple[str, str, str]:
    """Wait for the console; return its address, name and password."""
    assert running.stderr is not None
    said = []
    for line in running.stderr:
        said.append(line)
        if found := _CONSOLE.search(line):
            return found[1], found[2], found[3]
    raise SystemExit("the demo ended:\n" + "".join(said))


def logged_in(browser: Browser, url: str, name: str, password: str, language: str) -> Page:
    """Return a page on the list of alerts."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale=language)
    page.goto(url)
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.click("main button")
    page.wait_for_selector("table")
    return page


def open_ticketed_alert(page: Page) -> None:
    """Go from the list to an alert that has a ticket and wait for its chart."""
    rows = page.locator("tr", has=page.locator("a[href*='/issue']"))
    rows.first.locator("a[href^='/alerts/']").first.click()
    page.wait_for_load_state("load")  # the chart included


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIR", help="write every page there, not only the README's")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "alert.png")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not installed: apt install chromium")
    with tempfile.TemporaryDirectory(prefix="fleetdx-screenshots-") as folder, sync_playwright() as play:
        running = demo(Path(folder) / "demo")
        try:
            url, name, password = address(running)
            browser = play.chromium.launch(executable_path=chromium)
            page = logged_in(browser, url, name, password, "en-GB")
            if options.all:
                take_all(browser, page, url, name, password, options.all)
            open_ticketed_alert(page)
            page.screenshot(path=options.out, clip={"x": 0, "y": 0, "width": WIDTH, "height": 1180}, full_page=True)
            browser.close()
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(timeout=60)
    size = options.out.stat().st_size
    sys.stdout.write(json.dumps({"file": str(options.out), "bytes": size}) + "\n")
    if size >= MOST_BYTES:
        raise SystemExit(f"{options.out} has {size:,} bytes; it must stay below {MOST_BYTES:,}")


def take_all(browser: Browser, page: Page, url: str, name: str, password: str, folder: Path) -> None:
    """Write the log-in, the list and an alert, in English and Chinese."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    fresh.goto(url)
    fresh.screenshot(path=folder / "login.png", full_page=True)
    for language in ("en-GB", "zh-CN"):
        page = logged_in(browser, url, name, password, language)
        page.screenshot(path=folder / f"alerts-{language}.png", full_page=True)
        open_ticketed_alert(page)
        page.screenshot(path=folder / f"alert-{language}.png", full_page=True)


if __name__ == "__main__":
    main()
