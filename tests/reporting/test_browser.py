"""Pages in a real browser: the slider moves, the switches act, nothing is loaded, nothing is reported."""

from __future__ import annotations

import base64
import shutil

import numpy as np
import pytest
from finished_runs import ROWS, make_result, with_interval, write_run
from PIL import Image

from pfitre_jax.reporting import compare_runs, read_run, write_comparison, write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Chromium and chromedriver (packages chromium and chromium-driver)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    selenium = pytest.importorskip("selenium.webdriver", reason="needs the package selenium")
    options = selenium.ChromeOptions()
    options.binary_location = BROWSER
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1200,1600")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = selenium.ChromeService(executable_path=DRIVER)
    driver = selenium.Chrome(options=options, service=service)
    driver.get("about:blank")
    # Requests of the browser itself while it starts.
    driver.get_log("performance")
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    result = make_result()
    return [
        write_run(folder / "a", with_interval(result, 1.0), motion=True),
        write_run(folder / "b", result),
    ]


@pytest.fixture(scope="module")
def report(folders):
    return write_report(read_run(folders[0]), folders[0] / "report.html")


def shown(browser) -> list[tuple[str, str]]:
    """Layer and source of the images of the viewer that are seen."""
    return [
        (image.get_attribute("data-layer"), image.get_attribute("src"))
        for image in browser.find_elements("css selector", "img[data-layer]")
        if image.is_displayed()
    ]


def layers(browser) -> dict[str, list[str]]:
    return browser.execute_script(
        "return JSON.parse(document.querySelector(\"script[type='application/json']\").textContent).layers"
    )


def press(browser, key: str, times: int = 1) -> None:
    from selenium.webdriver.common.keys import Keys

    for _ in range(times):
        browser.find_element("css selector", "input[type=range]").send_keys(getattr(Keys, key))


def choose(browser, mode: str) -> None:
    browser.find_element("css selector", f"input[type=radio][value={mode}]").click()


def check_quiet(browser) -> None:
    """The console is empty, and nothing but the page itself was requested."""
    assert browser.get_log("browser") == []
    requested = [e["message"] for e in browser.get_log("performance") if "requestWillBeSent" in e["message"]]
    assert all('"url":"file:' in text or '"url":"data:' in text for text in requested)


def test_the_slider_moves_through_the_rows_by_keyboard_and_buttons(browser, report):
    browser.get(report.as_uri())
    images, middle = layers(browser), ROWS // 2
    output = browser.find_element("css selector", "output")
    assert dict(shown(browser))["result"] == images["result"][middle] and "row 12" in output.text
    press(browser, "ARROW_RIGHT")
    assert {uri for name, uri in shown(browser) if name == "result"} == {images["result"][middle + 1]}
    assert dict(shown(browser))["supplied"] == images["supplied"][middle + 1] and "row 13" in output.text
    press(browser, "HOME")
    slider = browser.find_element("css selector", "input[type=range]")
    assert slider.get_attribute("aria-valuetext") == "row 10, residual 0.02, supplied 20%"
    back, forward = browser.find_elements("css selector", "button[data-step]")
    back.click()
    assert "row 10" in output.text
    forward.click()
    assert "row 11" in output.text
    browser.find_elements("css selector", "button[data-row]")[-1].click()
    assert dict(shown(browser))["result"] == images["result"][-1] and "row 14" in output.text
    alternative = browser.find_element("css selector", "img[data-layer=result]").get_attribute("alt")
    assert alternative == "Slice of row 14"
    check_quiet(browser)


def test_the_switches_show_the_components(browser, report):
    browser.get(report.as_uri())
    expected = {
        "measured": ["result", "measured"],
        "interval": ["result", "result", "interval"],
        "supplied": ["result", "result", "supplied"],
    }
    assert [name for name, _ in shown(browser)] == expected["supplied"]
    for mode, names in expected.items():
        choose(browser, mode)
        assert [name for name, _ in shown(browser)] == names
        captions = browser.find_elements("css selector", "figcaption[data-modes]")
        assert sum(caption.is_displayed() for caption in captions) == 1
    check_quiet(browser)


def test_a_comparison_moves_all_runs_together(browser, folders, tmp_path):
    page = write_comparison(compare_runs([read_run(folder) for folder in folders]), tmp_path / "page.html")
    browser.get(page.as_uri())
    press(browser, "END")
    images = layers(browser)
    assert shown(browser) == [(name, images[name][-1]) for name in ("run0", "run1", "difference1")]
    choose(browser, "slices")
    assert [name for name, _ in shown(browser)] == ["run0", "run1"]
    choose(browser, "differences")
    assert [name for name, _ in shown(browser)] == ["difference1"]
    check_quiet(browser)


def test_the_shade_is_seen_on_the_screen(browser, report, tmp_path):
    browser.get(report.as_uri())
    left, right = browser.find_elements("css selector", ".panes figure .stack")
    pictures = []
    for k, pane in enumerate((left, right)):
        assert pane.screenshot(str(tmp_path / f"{k}.png"))
        pictures.append(np.asarray(Image.open(tmp_path / f"{k}.png").convert("RGB"), int))
    # The result is grey; its shade is redder than blue where matter is.
    assert np.all(pictures[0].max(axis=2) - pictures[0].min(axis=2) <= 2)
    assert np.mean(pictures[1][..., 0] > pictures[1][..., 2] + 10) > 0.1
    widths = [pane.size["width"] for pane in (left, right)]
    assert widths[0] == pytest.approx(widths[1], abs=1) and widths[0] > 300


def test_the_page_prints_the_closed_table_and_fits_a_narrow_screen(browser, report):
    browser.get(report.as_uri())
    content = base64.b64decode(browser.print_page())
    assert content.startswith(b"%PDF") and len(content) > 50_000
    assert browser.execute_script("return document.querySelector('details').open")
    browser.set_window_size(500, 900)
    try:
        width = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(width) <= 0
    finally:
        browser.set_window_size(1200, 1600)


def test_without_scripts_picture_and_tables_are_seen(browser, report):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(report.as_uri())
        assert [name for name, _ in shown(browser)] == ["result", "result", "supplied"]
        assert len([t for t in browser.find_elements("css selector", "table") if t.is_displayed()]) >= 5
        assert not browser.find_element("css selector", "input[type=range]").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
