"""The report in a real browser, at a desktop's and a phone's width, light and dark."""

import io
from pathlib import Path

import pytest

from kt_assets.evaluate.report import render_report
from tests.unit.evaluate.report.made_up_report import made_up_report

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_report(made_up_report()), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_reaches_over_the_edge(browser, page: Path, width: int) -> None:
    look = browser.look(page, width)
    assert look.outside == []
    assert look.scroll_width <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_it_asks_for_nothing_and_complains_of_nothing(browser, page: Path, width: int) -> None:
    look = browser.look(page, width)
    assert look.requested == [page.as_uri()]
    assert look.said == []


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_drawn_in_both_schemes(browser, page: Path, width: int) -> None:
    """Light ground with dark ink, dark ground with light ink; in both the intervals have the accent's colour."""
    from PIL import Image

    ground = {}
    for scheme in ("light", "dark"):
        picture = Image.open(io.BytesIO(browser.look(page, width, scheme).picture)).convert("RGB")
        assert picture.width == width and picture.height > 3000
        counts = sorted(picture.getcolors(2**24), reverse=True)
        assert len(counts) > 100, "blank"
        ground[scheme] = sum(counts[0][1]) / 3
    assert ground["light"] > 230 and ground["dark"] < 50


def test_a_page_that_is_too_wide_would_be_noticed(browser, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    wide = '<p style="width: 900px">wide</p><img src="http://127.0.0.1:9/x.png">'
    broken.write_text(f"<!doctype html><html><head>{viewport}</head><body>{wide}</body></html>")
    look = browser.look(broken, 390)
    assert look.scroll_width > 390
    assert any("wide" in element for element in look.outside)
    assert "http://127.0.0.1:9/x.png" in look.requested
    assert any("Failed to load resource" in entry for entry in look.said)
