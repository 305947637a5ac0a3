"""The page in Debian's Chromium, pointed at, clicked and typed into; the console stays empty and nothing is fetched."""

import json
import shutil
import time

import pytest

from hessrun.report import build

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser: pip install selenium")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(_CHROMIUM is None or _DRIVER is None, reason="no chromium with chromedriver is installed"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def page(tmp_path_factory, write_run):
    folder = tmp_path_factory.mktemp("page")
    for name in ("mlp-digits", "mlp-wine"):
        for seed in range(2):
            write_run(folder / "runs", "gd", seed, [1.0, 0.5, 0.25, 0.125, 0.1], name=name)
            write_run(folder / "runs", "newton", seed, [1.0, 0.01, 0.001], seconds=9.0, name=name)
    write_run(folder / "runs", "bfgs", 0, [1.0, 5.0], name="mlp-wine", state="diverged", status="diverged")
    return build([folder / "runs"], folder / "out").html


@pytest.fixture(scope="module")
def driver(page):
    """The page with all its figures drawn."""
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1400"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(_DRIVER))
    driver.get(page.as_uri())
    for figure in driver.find_elements(By.CSS_SELECTOR, "figure[data-chart], figure[data-spectra]"):
        driver.execute_script("arguments[0].scrollIntoView()", figure)
        eventually(lambda figure=figure: figure.find_elements(By.CSS_SELECTOR, ".live .main-svg"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver):
    """The page, which is left with everything shown, against iterations."""
    yield driver
    for button in driver.find_elements(By.CSS_SELECTOR, '#entries button[aria-pressed="false"]'):
        button.click()
    driver.find_element(By.CSS_SELECTOR, 'input[name=axis][value="step"]').click()


def eventually(condition, seconds=20):
    """What `condition` gives once it holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "has not come about in time"
        time.sleep(0.05)
    return found


def figure_of(browser, name):
    return browser.find_element(By.CSS_SELECTOR, f'figure[data-chart="{name}"]')


def plots(browser, name):
    """What plotly holds of each plot of a figure: its axes' titles and types, and whether each trace is seen."""
    return browser.execute_script(
        """return [...arguments[0].querySelectorAll('.plot')].map((plot) => ({
            x: plot.layout.xaxis.title.text, xtype: plot.layout.xaxis.type, ytype: plot.layout.yaxis.type,
            traces: plot.data.map((trace) => [trace.meta, trace.visible]) }))""",
        figure_of(browser, name),
    )


def click(browser, element):
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def test_it_says_nothing_to_the_console_and_fetches_nothing(browser):
    assert [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert sent
    assert {url.split(":", 1)[0] for url in sent} <= {"file", "data", "blob"}
    assert [url for url in sent if url.startswith("file:")] == [browser.current_url]


def test_an_optimizer_is_hidden_in_all_figures_at_once_and_by_the_keyboard(browser):
    names = ("problem1-loss", "problem2-loss", "problem2-gradient", "problem1-curvature")
    button = browser.find_element(By.CSS_SELECTOR, '#entries button[data-entry="newton"]')
    click(browser, button)
    for name in names:
        seen = {entry: visible for plot in plots(browser, name) for entry, visible in plot["traces"]}
        assert seen["newton"] is False
        assert seen["gd"] is True
    pressed = browser.find_elements(By.CSS_SELECTOR, 'button[data-entry="newton"]')
    assert len(pressed) > len(names)
    assert {one.get_attribute("aria-pressed") for one in pressed} == {"false"}
    button.send_keys(Keys.ENTER)
    assert all(visible for name in names for plot in plots(browser, name) for _, visible in plot["traces"])


def test_a_legend_below_a_figure_hides_in_all_of_them_too(browser):
    click(browser, figure_of(browser, "problem1-loss").find_element(By.CSS_SELECTOR, 'button[data-entry="gd"]'))
    assert {v for plot in plots(browser, "problem2-loss") for entry, v in plot["traces"] if entry == "gd"} == {False}


@pytest.mark.parametrize(
    ("axis", "label"),
    [("step", "iterations"), ("seconds", "optimizer time (s)"), ("passes", "passes over the data")],
)
def test_one_switch_chooses_the_axis_of_all_figures_that_have_it(browser, axis, label):
    click(browser, browser.find_element(By.CSS_SELECTOR, f'input[name=axis][value="{axis}"]'))
    for name in ("problem1-loss", "problem2-gradient", "problem1-accuracy", "problem1-step"):
        assert {plot["x"] for plot in plots(browser, name)} == {label}
    assert {plot["x"] for plot in plots(browser, "problem1-curvature")} == {"iterations"}


def test_an_axis_turns_from_logarithmic_to_linear_and_back(browser):
    button = figure_of(browser, "problem1-gradient").find_element(By.CSS_SELECTOR, 'button[data-scale="y"]')
    assert [plot["ytype"] for plot in plots(browser, "problem1-gradient")] == ["log"]
    click(browser, button)
    assert [plot["ytype"] for plot in plots(browser, "problem1-gradient")] == ["linear"]
    assert button.text == "y: linear"
    click(browser, button)
    assert [plot["ytype"] for plot in plots(browser, "problem1-gradient")] == ["log"]


def test_pointing_at_a_line_says_its_numbers_and_dragging_zooms(browser):
    figure = figure_of(browser, "problem1-loss")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    line = figure.find_element(By.CSS_SELECTOR, ".scatterlayer")
    chain = webdriver.ActionChains(browser)
    # The first point of all lines lies at the upper left of what is drawn.
    chain.move_to_element_with_offset(line, -line.size["width"] // 2 + 2, -line.size["height"] // 2 + 2).perform()
    said = eventually(lambda: figure.find_elements(By.CSS_SELECTOR, ".hoverlayer .hovertext"))[0].text
    assert "iterations: 0" in said
    assert "training loss: 1" in said
    before = browser.execute_script("return arguments[0].querySelector('.plot').layout.xaxis.range", figure)
    area = figure.find_element(By.CSS_SELECTOR, ".nsewdrag")
    chain = webdriver.ActionChains(browser)
    chain.move_to_element_with_offset(area, -80, -60).click_and_hold().move_by_offset(160, 120).release().perform()
    eventually(
        lambda: (
            before != browser.execute_script("return arguments[0].querySelector('.plot').layout.xaxis.range", figure)
        )
    )


def test_the_slider_moves_through_the_spectra(browser):
    figure = browser.find_element(By.CSS_SELECTOR, "figure[data-spectra]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    said = figure.find_element(By.TAG_NAME, "output")
    assert said.text == "step 0, 1 of 4 eigenvalues below minus the noise floor"
    values = "return arguments[0].querySelector('.plot').data[0].customdata"
    assert browser.execute_script(values, figure) == [-1, 1, 2, 4]
    figure.find_element(By.CSS_SELECTOR, "input[type=range]").send_keys(Keys.ARROW_RIGHT)
    assert said.text == "step 4, 0 of 4 eigenvalues below minus the noise floor"
    assert browser.execute_script(values, figure) == [0.5, 1, 2, 4]
    Select(figure.find_element(By.TAG_NAME, "select")).select_by_visible_text("newton")
    assert said.text.startswith("step 0")


def runs_shown(browser, column):
    """The texts of a column of the table of runs, in the rows that are shown."""
    return browser.execute_script(
        """const table = document.querySelector('figure[data-runs] table');
        const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
        return [...table.tBodies[0].rows].filter((row) => !row.hidden)
            .map((row) => row.cells[heads.indexOf(arguments[0])].textContent.trim())""",
        column,
    )


def test_the_table_of_runs_is_filtered_by_words_and_by_choice(browser):
    filters = browser.find_element(By.CSS_SELECTOR, "figure[data-runs] .filters")
    assert len(runs_shown(browser, "run")) == 9
    filters.find_element(By.TAG_NAME, "input").send_keys("Newton wine")
    assert runs_shown(browser, "optimizer") == ["newton", "newton"]
    assert filters.find_element(By.TAG_NAME, "output").text == "2 of 9 runs"
    filters.find_element(By.TAG_NAME, "input").send_keys(Keys.CONTROL, "a", Keys.DELETE)
    Select(filters.find_element(By.CSS_SELECTOR, "select[aria-label=status]")).select_by_visible_text("diverged")
    assert runs_shown(browser, "optimizer") == ["bfgs"]
    Select(filters.find_element(By.CSS_SELECTOR, "select[aria-label=status]")).select_by_index(0)
    assert len(runs_shown(browser, "run")) == 9


def test_a_table_is_sorted_by_number_then_backwards(browser):
    table = browser.find_element(By.CSS_SELECTOR, "figure[data-runs] table")
    (head,) = [h for h in table.find_elements(By.TAG_NAME, "th") if h.text == "training loss"]
    for order in ("ascending", "descending"):
        click(browser, head.find_element(By.TAG_NAME, "button"))
        assert head.get_attribute("aria-sort") == order
        losses = [float(text) for text in runs_shown(browser, "training loss")]
        assert losses == sorted(losses, reverse=order == "descending")
        assert losses[0] != losses[-1]


def test_all_that_can_be_clicked_has_a_name_and_no_id_stands_twice(browser):
    unnamed = browser.execute_script(
        """return [...document.querySelectorAll('button, input, select')].filter((one) =>
            !(one.textContent.trim() || one.ariaLabel || one.closest('label'))).map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    repeated = browser.execute_script(
        """const ids = [...document.querySelectorAll('[id]')].filter((one) => !one.closest('svg')).map((one) => one.id);
        return ids.filter((id, i) => ids.indexOf(id) !== i)"""
    )
    assert repeated == []


def test_every_link_within_the_page_leads_somewhere(browser):
    lost = browser.execute_script(
        """return [...document.querySelectorAll('a[href^="#"]')].map((link) => link.getAttribute('href'))
            .filter((target) => !document.getElementById(target.slice(1)))"""
    )
    assert lost == []
