import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import slt
from slt.checkpoints import Row, Sweep
from slt.estimators import Problem

EVIL = '<script>alert("x")</script>'


def estimate(draws: int, seed: int) -> slt.Estimate:
    rng = np.random.default_rng(seed)
    return slt.llc(
        slt.Trace.from_arrays(
            posterior={"excess": rng.gamma(3.0, 0.01, (4, draws)), "distance": rng.gamma(3.0, size=(4, draws))},
            sample_stats={"acceptance_rate": np.full((4, draws), 0.8)},
            constant_data={"n": 500, "nbeta": 100.0, "dimension": 6, "loss_center": 0.1, "alive": np.ones(4, bool)},
            settings={
                "unadjusted": False,
                "full_data": True,
                "localization": 1.0,
                "localization_zero": False,
                "loss": f"nats {EVIL}",
            },
        )
    )


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    rows = [Row(f"step-{10**i}", Path(f"{i}.pt"), 1.5, estimate(400, i), None) for i in range(2)]
    few = Row("step-100", Path("2.pt"), 1.5, estimate(10, 2), None)
    failed = Row(f"step-1000{EVIL}", Path("3.pt"), 1.5, None, ValueError(f"no {EVIL}"))
    return Sweep((*rows, few, failed))


@pytest.fixture(scope="module")
def text(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("report") / "report.html"
    sweep.report(file)
    return file.read_text()


class Page(HTMLParser):
    """Collects what a page is made of, and refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_every_checkpoint_and_needs_nothing_beside_itself(text: str) -> None:
    page = Page(text)
    pictures = [attrs["src"] or "" for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == 1 + 3  # over training, and the traces of each estimate
    for picture in pictures:
        start, data = picture.split(",")
        assert start == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    anchors = {attrs["id"] for tag, attrs in page.tags if tag == "section"}
    links = [attrs["href"] or "" for tag, attrs in page.tags if tag == "a"]
    assert {f"#{anchor}" for anchor in anchors} == set(links)
    assert len(links) == 4
    assert not re.search(r"https?://|@import|url\(", text)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}


def test_verdicts_are_said_in_words(text: str) -> None:
    assert "4 checkpoints: 2 reliable, 1 not reliable, 1 failed." in text
    assert text.count("<p>Verdict: reliable, at nbeta ") == 2
    assert text.count('<p class="bad">Verdict: not reliable, at nbeta ') == 1
    assert Problem.TOO_FEW_DRAWS.sentence[:-1] in text
    assert "ValueError: no &lt;script&gt;" in text


def test_names_settings_and_messages_are_escaped(sweep: Sweep, text: str) -> None:
    assert EVIL not in text
    assert EVIL not in sweep._repr_html_()
    assert text.count("&lt;script&gt;") >= 6


def test_the_same_sweep_gives_the_same_bytes_however_long_it_took(sweep: Sweep, text: str, tmp_path: Path) -> None:
    slower = Sweep(tuple(Row(row.name, row.path, 9.9, row.estimate, row.error) for row in sweep.rows))
    figures = plt.get_fignums()
    slower.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == text
    assert sweep.to_csv() == slower.to_csv()
    assert plt.get_fignums() == figures  # none is left behind


def test_a_sweep_without_an_estimate_has_a_page_too(sweep: Sweep, tmp_path: Path) -> None:
    Sweep(sweep.rows[-1:]).report(tmp_path / "report.html")
    assert "1 checkpoint: 0 reliable, 0 not reliable, 1 failed." in (tmp_path / "report.html").read_text()
