"""What people see in the MLflow UI after a run, in a real browser."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from digits.experiments.views import fits_address
from digits.registry.versions import Registry
from flows.servers.ports import free_port
from tests.web import WEB

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def ui(ran: Any) -> Iterator[str]:
    """Start `digits ui` on a free port and return its address."""
    port = free_port()
    environment = {**ran.environment, "MLFLOW_TRACKING_URI": ""}
    server = subprocess.Popen(
        ran.command("ui", "--port", str(port)), cwd=ran.root, env=environment, stderr=subprocess.PIPE, text=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                WEB.get(f"{address}/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert server.poll() is None
                time.sleep(0.2)
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        stderr = server.communicate(timeout=30)[1]
    assert stderr.startswith(f"MLflow UI: {address}")
    assert f"digits, best validation accuracy first: {address}/#/experiments/1/runs" in stderr
    assert "Warning" not in stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start headless Chromium, for someone who dislikes what moves: to draw that again and again takes a core."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = chromium.new_context(viewport={"width": 1600, "height": 1000}, reduced_motion="reduce")
        context.set_default_timeout(60_000)
        yield context
        chromium.close()


@pytest.fixture
def page(browser: Any, ui: str) -> Iterator[Any]:
    """Open a page that knows nothing of the tests before; only MLflow's scripts are not fetched and compiled again."""
    page = browser.new_page()
    page.goto(f"{ui}/version")
    page.evaluate("localStorage.clear(), sessionStorage.clear()")
    yield page
    for each in browser.pages:
        each.close()


def test_a_family_shows_its_metrics_dataset_and_model(ran: Any, ui: str, page: Any) -> None:
    """The run of the best family names its parent, the dataset and the registered version, and lists its plots."""
    best = json.loads(ran.first.stdout)[0]
    page.goto(f"{ui}/#/experiments/1/runs/{best['run_id']}")
    page.get_by_text("Parent run", exact=True).wait_for()
    page.get_by_text("Finished").first.wait_for()
    page.get_by_role("link", name="digits-classifier").first.wait_for()
    page.get_by_text("test_accuracy", exact=True).first.wait_for()
    assert "fingerprint" in page.inner_text("body")
    page.goto(f"{ui}/#/experiments/1/runs/{best['run_id']}/artifacts/plots/confusion_matrix.png")
    page.get_by_text("misclassified.png").first.wait_for()


def test_the_address_that_is_printed_opens_on_the_best(ran: Any, ui: str, page: Any) -> None:
    """A table of all fits: the first line is the best by validation, and figures are shown."""
    rows = json.loads(ran.first.stdout)
    page.goto(f"{ui}/{fits_address('1')}")
    links = [page.locator(f"a[href$='/runs/{row['run_id']}']").last for row in rows]
    links[-1].wait_for()
    shown = [link.bounding_box()["y"] for link in links]
    assert shown == sorted(shown)
    page.get_by_text("test_accuracy", exact=True).first.wait_for()


def test_the_best_run_is_two_clicks_from_the_list_of_experiments(ran: Any, ui: str, page: Any) -> None:
    """The experiment, then the first link of its note; MLflow greets whoever comes for the first time before that."""
    best = json.loads(ran.first.stdout)[0]
    page.goto(f"{ui}/#/experiments")
    page.get_by_role("link", name="digits", exact=True).first.click()
    page.get_by_role("button", name="Got it").click()
    link = page.get_by_role("link", name=best["family"], exact=True).first
    with page.expect_popup() as opened:
        link.click()
    opened.value.wait_for_url(f"**/runs/{best['run_id']}*")


def test_a_version_shows_its_card_and_stage(ran: Any, ui: str, page: Any) -> None:
    """The registered version shows what it is, the gate's table, @production, its stage, and the way to its metrics."""
    page.goto(f"{ui}/#/models/digits-classifier/versions/1")
    page.get_by_text("production").first.wait_for()
    page.get_by_text("recall of the worst class").wait_for()
    assert "chosen by validation accuracy" in page.inner_text("body")
    for words in ("digits registry rollback digits", "Stage (deprecated)", "Production"):
        assert words in page.inner_text("body"), words
    family = json.loads(ran.first.stdout)[0]["family"]
    page.get_by_role("link", name=family, exact=True).last.click()  # its run's name, then its model's
    page.get_by_text("test_accuracy", exact=True).first.wait_for()


def test_the_ledger_shows_who_promoted_and_why(ran: Any, ui: str, page: Any) -> None:
    """The promotion's run shows the gate's table as its description, its outcome and its actor."""
    entry = Registry(ran.memory()).ledger.entries()[-1]
    page.goto(f"{ui}/#/experiments/2/runs/{entry.run_id}")
    page.get_by_text("lower end of the accuracy's interval").first.wait_for()
    for words in ("promoted", entry.actor):
        assert words in page.inner_text("body"), words
