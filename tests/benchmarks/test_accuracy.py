"""The accuracy benchmark: lays out what an operator would, and says what it found, tidily."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from benchmarks import accuracy
from benchmarks.naive import NAIVE, fixed_threshold, mask_and_sum, otsu_each
from benchmarks.pairs import PRODUCT, lay_out, read_pairs

KEYS = ["id", "level", "kind", "estimator", "truth_pct", "estimate_pct", "low_pct", "high_pct", "load_before", "status"]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "pairs"
BOARD = np.ones((10, 10), bool)


def shot(white: float, grey: int = 40) -> np.ndarray:
    """A photograph with this share of white pixels."""
    pixels = np.full(100, grey, np.uint8)
    pixels[: round(white * 100)] = 220
    return pixels.reshape(10, 10)


def test_a_fixed_threshold_counts_white_pixels():
    assert fixed_threshold(shot(0.4), shot(0.1), BOARD) == (0.4, 0.1)


def test_otsu_finds_a_level_in_each_photograph_anew():
    # half as much residue in twice the light: a fixed level would be fooled, but Otsu splits anything
    assert otsu_each(shot(0.4), shot(0.2, grey=180), BOARD) == (0.4, 0.2)


def test_mask_and_sum_leaves_the_super_bright_out():
    glare = shot(0.0)
    glare[0] = 255
    before, after = mask_and_sum(shot(0.0), glare, BOARD)
    assert after == pytest.approx(0.9 * before)


def test_rows_have_the_promised_keys_and_one_stands_for_each_pair_and_estimator(rendered_pairs, tmp_path, capsys):
    arguments = ["--pairs", str(rendered_pairs), "--workers", "0", "--out", str(tmp_path), "--json"]
    assert accuracy.main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(list(row) == KEYS for row in rows)
    assert [(row["id"], row["estimator"]) for row in rows] == [
        (f"easy_{n:02}_rendered", name) for n in (1, 2) for name in (*PRODUCT, *NAIVE)
    ]
    golden = {row["kind"]: row for row in rows if row["estimator"] == "golden"}
    # half a megapixel: the right number within the means of so small a board
    assert golden["reduce"]["estimate_pct"] == pytest.approx(golden["reduce"]["truth_pct"], abs=8)
    assert golden["null"]["truth_pct"] == 0
    assert golden["null"]["estimate_pct"] == pytest.approx(0, abs=3)
    for row in golden.values():
        assert row["low_pct"] < row["estimate_pct"] < row["high_pct"]
    assert golden["null"]["low_pct"] < 0 < golden["null"]["high_pct"]


def test_nothing_of_the_truth_but_outline_and_label_reaches_the_product(rendered_pairs, tmp_path):
    for estimator in PRODUCT:
        lay_out(read_pairs(rendered_pairs), estimator, tmp_path / estimator)
        for path in (tmp_path / estimator).glob("easy_*.yaml"):
            allowed = {"schema", "board_type", "reference", "golden", "units", "outline", "white"}
            assert set(yaml.safe_load(path.read_text())) <= allowed
    manifest = (tmp_path / "golden" / "boards.csv").read_text()
    assert "truth.json" not in manifest
    assert "alpha_" not in manifest


def test_outline_and_label_are_carried_into_the_golden_shot(rendered_pairs, tmp_path):
    pair = read_pairs(rendered_pairs)[0]
    lay_out([pair], "golden", tmp_path)
    document = yaml.safe_load((tmp_path / f"{pair.id}.yaml").read_text())
    frame = cv2.imread(str(pair.golden), cv2.IMREAD_GRAYSCALE)
    mask = np.zeros(frame.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(document["white"]["polygon"]).astype(np.int32)], 1)
    # the label is the whitest large thing on the board
    assert np.median(frame[mask > 0]) > np.median(frame) + 80


def test_a_pair_without_a_golden_shot_still_has_its_rows(rendered_pairs, tmp_path):
    folder = tmp_path / "pairs" / "one"
    folder.mkdir(parents=True)
    for path in (rendered_pairs / "easy_01_rendered").iterdir():
        if path.stem != "golden":
            (folder / path.name).symlink_to(path.resolve())
    rows = accuracy.measure(read_pairs(tmp_path / "pairs"), tmp_path / "out", workers=0)
    found = {row["estimator"]: row for row in rows}
    assert found["golden"]["status"] == "no_golden_shot"
    assert found["golden"]["estimate_pct"] is None
    assert found["pair"]["status"] != "no_golden_shot"


def test_a_folder_without_pairs_is_an_error_that_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        accuracy.main(["--pairs", str(tmp_path)])
    assert "holds no pair" in capsys.readouterr().err


def test_the_table_lists_every_level_and_what_has_no_number():
    nothing = {"low_pct": None, "high_pct": None}
    rows = []
    for name in (*PRODUCT, *NAIVE):
        head = {"level": "hard", "estimator": name}
        measured = {"truth_pct": 80.0, "estimate_pct": 81.5, "load_before": 0.1, "status": "measured"}
        blank = {"truth_pct": None, "estimate_pct": None, "load_before": 1e-5, "status": "before_below_lod"}
        rows += [{"id": "hard_1", "kind": "reduce", **head, **measured, **nothing}]
        rows += [{"id": "blank_1", "kind": "blank", **head, **blank, **nothing}]
    text = accuracy.table(rows)
    assert "hard    golden               1          0      1.50    1.50    1.50  hard_1" in text
    assert "blank_1                   golden  before_below_lod, load before 0.00001" in text


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the photographed pairs beside the project")
def test_photographed_pairs_are_measured_better_than_by_hand(tmp_path):
    pairs = read_pairs(SHARED, ["easy_02_crab1", "worse_medium_crab2"])
    rows = accuracy.measure(pairs, tmp_path, workers=0)
    error = {
        (row["kind"], row["estimator"]): abs(row["estimate_pct"] - row["truth_pct"])
        for row in rows
        if row["estimator"] != "pair"  # which may rightly give no number
    }
    for kind in ("reduce", "worse"):
        assert error[kind, "golden"] < 4
        assert error[kind, "golden"] < min(error[kind, name] for name in NAIVE)
