"""The report: answers first, nothing loaded, nothing executed, the same text every time."""

from __future__ import annotations

import html
import re
import time
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import made_up
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import measured, turned_away

from residue_batch import results
from residue_batch.config import Finding
from residue_batch.outcome import FLAGS
from residue_batch.report import PICTURES, ReportData, meanings, render, worst_boards
from residue_batch.report.chart import WIDTH, chart_of
from residue_batch.statistics import judge, lot_summary

EVIL = "</script><img src=x onerror=alert(1)>"
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 "
LIMITS = {"load_reduction_pct": {"min": 85}}
VOID = {"meta", "img", "br", "input", "line", "rect"}


def data_of(
    records: list[dict[str, Any]], limits: Any = None, text: str = made_up.WORKFLOW, **given: Any
) -> ReportData:
    ds = results.dataset(records, made_up.program(text), {"title": "Residue reduction"})
    return ReportData(ds, lot_summary(ds), judge(LIMITS if limits is None else limits, ds), **given)


class Page(HTMLParser):
    """Counts elements, keeps attributes and text, and checks that elements close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def words_of(text: str) -> str:
    bare = re.sub(r"<(script|style)>.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", bare)).split())


def test_the_first_words_are_verdict_numbers_and_boards() -> None:
    bad = measured("bad", loads=[(0.1, 0.05), (0.1, 0.05)])
    text = words_of(render(data_of([measured("a"), measured("b"), bad, turned_away("gone")])))
    head = text[: text.index("What the words mean")]
    order = (
        "Failed 1 board of 3 judged misses a limit.",
        "pooled",
        "76.7 %",
        "Boards that need you 2 of 4",
        "bad",
        "All boards",
    )
    places = [head.index(part) for part in order]
    assert places == sorted(places)
    assert "load_reduction_pct at least 85" in head
    assert "check that this is the right board" in head


@pytest.mark.parametrize(
    ("records", "limits", "word"),
    [
        ([measured("a")], None, "Passed"),
        ([measured("a"), turned_away("b")], None, "Passed so far"),
        ([turned_away("b")], None, "Not judged"),
        ([measured("a")], {}, "Not judged"),
        ([measured("a")], {"load_reduction_pct": {"min": 99}}, "Failed"),
        ([], None, "Not judged"),
    ],
)
def test_the_verdict_says_no_more_than_is_known(records: list[dict[str, Any]], limits: Any, word: str) -> None:
    text = render(data_of(records, limits))
    Page(text)
    assert "– %" not in text
    assert f"<strong>{word}</strong>" in text


def test_names_are_text_whatever_they_hold() -> None:
    records = [
        measured(EVIL, loads=[(0.1, 0.05)] * 2),
        turned_away("=1+1", message="</td><script>alert(1)</script>", remedy="<b onclick=x>"),
    ]
    page = render(
        data_of(
            records,
            pictures={EVIL: WEBP},
            findings=[Finding("unmatched", "", ("/a/b/<i>.jpg",), "<u>", "")],
            configs={"<x>.yaml": "</pre><script>"},
            provenance={"versions": {"<y>": "<z>"}},
            footer="<iframe>",
        )
    )
    found = Page(page)
    assert found.tags["script"] == 1
    assert found.tags["img"] == 1
    assert not {"iframe", "i", "u", "x", "y", "z"} & (set(found.tags) - {"i"})
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert EVIL in words_of(page.replace("<script>", "<style>", 1)) or html.escape(EVIL) in page
    assert "/a/b/" not in page


def test_nothing_is_loaded_and_only_our_script_may_run() -> None:
    text = render(data_of(made_up.lot_of(30), pictures=dict.fromkeys((f"SN{i:05d}" for i in range(30)), WEBP)))
    page = Page(text)
    assert all(value.startswith("data:image/webp;base64,") for value in page.values("src"))
    assert all(value.startswith("#") for value in page.values("href"))
    assert "url(" not in text
    assert "http://" not in text
    assert "https://" not in text
    policy = next(v for v in page.values("content") if "default-src" in v)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    targets, ids = {v[1:] for v in page.values("href")}, page.values("id")
    assert targets <= set(ids)
    assert len(set(ids)) == len(ids)


def test_pictures_are_described_and_tables_have_headers() -> None:
    page = Page(render(data_of(made_up.lot_of(10), pictures={"SN00001": WEBP})))
    assert all(any(tag == "img" for tag, name, _ in page.attributes if name == "alt") for _ in range(page.tags["img"]))
    assert page.tags["caption"] == page.tags["table"]
    assert page.tags["th"] == len([1 for tag, name, _ in page.attributes if (tag, name) == ("th", "scope")])


def test_the_worst_boards_come_first_and_few_have_pictures() -> None:
    records = [measured(f"n{i:03}", loads=[(0.1, 0.001 * i)] * 2) for i in range(40)]
    records.append(measured("up", loads=[(0.1, 0.2)] * 2, status=["increase"] * 2))
    data = data_of([*records, turned_away("r")])
    worst = worst_boards(data.dataset, data.verdicts)
    assert len(worst) == PICTURES
    assert worst[:2] == ["up", "n039"]
    assert "r" not in worst
    page = Page(render(data_of(records, pictures={r["board"]: WEBP for r in records})))
    assert page.tags["img"] == PICTURES


def test_a_picture_that_is_not_there_is_left_out(tmp_path: Any) -> None:
    (tmp_path / "a.webp").write_bytes(WEBP)
    pictures = {"a": tmp_path / "a.webp", "b": tmp_path / "b.webp"}
    assert Page(render(data_of([measured("a"), measured("b")], pictures=pictures))).tags["img"] == 1


def test_big_pictures_do_not_make_a_big_page() -> None:
    records = [measured(f"{i}") for i in range(24)]
    text = render(data_of(records, pictures=dict.fromkeys((r["board"] for r in records), WEBP + bytes(2_000_000))))
    assert len(text) < 15_000_000


def test_a_lot_of_a_thousand_boards_is_quick_and_small() -> None:
    data = data_of(made_up.lot_of(1000))
    start = time.perf_counter()
    text = render(data)
    assert time.perf_counter() - start < 3
    assert len(text) < 3_000_000
    assert text == render(data)


def test_board_types_are_listed_and_not_pooled_together() -> None:
    text = words_of(render(data_of([measured("a"), measured("b", board_type="panel B", regions=["whole"])])))
    assert "Different board types are not pooled together" in text
    assert "panel A, panel B" in text


def test_a_workflow_without_a_load_has_a_report() -> None:
    text = made_up.WORKFLOW.split("measures:")[0] + "measures:\n  shine: {measure: intensity, of: opacity}\n"
    values = {"shine_mean": [[0.2, 0.2], [0.1, 0.1]], "shine_mean_reduction_pct": [50.0, 50.0]}
    page = render(data_of([measured("a", values=values)], {}, text))
    assert "50.0" in words_of(page)


def test_what_is_indicative_is_said_at_the_top() -> None:
    text = words_of(render(data_of([measured("a", flags=[["indicative", "not_estimated"]] * 2)])))
    assert text.index("Indicative (every board)") < text.index("All boards")


def test_a_number_stands_with_its_interval_and_what_makes_it_wide() -> None:
    values = {
        "load_reduction_pct_low": [88.0, 80.0],
        "load_reduction_pct_high": [91.5, 95.0],
        "load_reduction_pct_share": [[60.0, 30.0, 10.0, 0.0, 0.0, 0.0]] * 2,
    }
    page = words_of(render(data_of([measured("a", values=values)], pictures={"a": WEBP})))
    assert "90.0 % (88.0–91.5)" in page
    assert "uncertain by light 60 %, registration 30 %, glare 10 %" in page


def test_what_is_not_claimed_is_on_the_page() -> None:
    assert results.NOT_CLAIMED in words_of(render(data_of([measured("a")])))


def test_every_status_and_flag_is_explained() -> None:
    assert set(meanings.STATUS) == set(results.REGION_STATUSES)
    assert set(meanings.FLAGS) == set(FLAGS)


def test_a_legend_takes_colours_only() -> None:
    with pytest.raises(ValueError, match="not a colour"):
        render(data_of([measured("a")], legend=[("x", "red;background:url(http://x)")]))


@settings(max_examples=50, deadline=None)
@given(
    passed=st.lists(st.floats(-1e4, 200), max_size=60),
    failed=st.lists(st.floats(-1e4, 200), min_size=1, max_size=60),
    limits=st.lists(st.floats(-100, 100), max_size=2),
)
def test_every_board_is_in_a_bar_inside_the_chart(
    passed: list[float], failed: list[float], limits: list[float]
) -> None:
    chart = chart_of(passed, failed, limits)
    counts = [int(re.search(r"%: (\d+)", bar.text)[1]) for bar in chart.bars]
    assert sum(counts) == len(passed) + len(failed)
    assert max(counts) == chart.most
    assert all(0 <= bar.x <= WIDTH and 0 < bar.height <= 120 and bar.failed_height <= bar.height for bar in chart.bars)
    assert all(-0.01 <= x <= WIDTH + 0.01 for x, _ in (*chart.ticks, *chart.limits))


def _risen(board: str, ratio: float, **given: Any) -> dict[str, Any]:
    """A board with ``ratio`` times the load after as before, named as perhaps exchanged."""
    flags = [["phases_may_be_exchanged"]] * 2
    return measured(board, loads=[(0.05, 0.05 * ratio)] * 2, status=["increase"] * 2, flags=flags, **given)


def test_a_region_says_how_many_of_its_boards_have_a_number_and_how_the_others_ended() -> None:
    found = {"status": ["measured", "before_below_lod"], "values": {"load_reduction_pct": [90.0, None]}}
    page = render(data_of([measured("a"), measured("b", **found)]))
    row = page[page.index('<th scope="row">chips</th>') :]
    assert row[: row.index("</tr>")].count("1 of 2") == 1
    assert "<dt>before below lod</dt>" in page


def test_an_increase_that_read_the_other_way_is_a_reduction_like_the_others_is_said_to_be_exchanged() -> None:
    weak = [measured(f"B{n}", loads=[(0.05, 0.05 * left)] * 2) for n, left in enumerate((0.6, 0.65, 0.7, 0.75))]
    page = render(data_of([*weak, _risen("SWAPPED", 1.5), _risen("WORSE", 1.05)]))
    exchanged, worse = page.index("most likely exchanged"), page.index("then the cleaner")
    assert exchanged < page.index("SWAPPED", exchanged) < worse < page.index("WORSE", worse)
    few = render(data_of([*weak[:2], _risen("SWAPPED", 1.5)]))
    assert "most likely exchanged" not in few, "two boards say nothing of a lot"


def test_a_clock_that_runs_backwards_wants_somebody_to_look() -> None:
    late = measured("LATE", flags=[["phases_may_be_exchanged"], []])
    page = render(data_of([late, measured("B1"), measured("B2")]))
    assert "taken first, by the camera" in page
