"""The accuracy benchmark: lays out what an operator would, and says what it found, tidily."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from benchmarks import accuracy
from benchmarks.accuracy import ALONE
from benchmarks.leaderboard import ESTIMATORS, leaderboard
from benchmarks.naive import NAIVE, change_only, fixed_threshold, mask_and_sum, otsu_each
from benchmarks.pairs import UnusablePairsError, kind_of_board, lay_out, read_pairs
from residue_batch.errors import ConfigError

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


def textured(seed: int = 1) -> np.ndarray:
    """A grey board with corners to find it by."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 110, (24, 32)).astype(np.uint8)
    return cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_NEAREST)


def test_change_only_finds_what_was_removed_on_a_shot_that_moved_and_is_brighter():
    clean = textured()
    before, after = clean.copy(), clean.copy()
    before[60:120, 60:120] = 230
    after[60:75, 60:120] = 230  # a quarter stays where it was: that is not seen
    moved = cv2.warpAffine(after, np.array([[1, 0, 4], [0, 1, -3]], float), (320, 240), borderMode=cv2.BORDER_REFLECT)
    brighter = np.clip(moved * 1.1, 0, 255).astype(np.uint8)
    board = np.zeros(clean.shape, bool)
    board[10:-10, 10:-10] = True
    removed, new = change_only(before, brighter, board)
    expected = (before.astype(float) - after)[board].sum() / 255 / board.sum()
    assert removed == pytest.approx(expected, rel=0.15)
    assert new < 0.2 * removed


def test_rows_have_the_promised_keys_and_one_stands_for_each_pair_and_estimator(rendered_pairs, tmp_path, capsys):
    arguments = ["--pairs", str(rendered_pairs), "--workers", "0", "--out", str(tmp_path), "--json"]
    assert accuracy.main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(list(row) == KEYS for row in rows)
    assert [(row["id"], row["estimator"]) for row in rows] == [
        (f"easy_{n:02}_rendered", name) for n in (1, 2) for name in (*ALONE, *NAIVE)
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
    for estimator in ALONE:
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
    for given in (["--pairs", str(tmp_path)], ["--lot", str(tmp_path)]):
        with pytest.raises(SystemExit) as left:
            accuracy.main(given)
        assert left.value.code == 2
        assert "holds no pair" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        accuracy.main(["--pairs", str(tmp_path / "nowhere")])
    assert "is not a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        accuracy.main([])
    assert "give --pairs, --lot or both" in capsys.readouterr().err


def test_every_folder_that_cannot_be_used_is_named_at_once(rendered_pairs, tmp_path):
    good = rendered_pairs / "easy_01_rendered"
    for name in ("no_json", "no_level", "no_after", "odd_outline"):
        folder = tmp_path / name
        folder.mkdir()
        for path in good.iterdir():
            if path.name != "truth.json" and (name, path.stem) != ("no_after", "after"):
                (folder / path.name).symlink_to(path.resolve())
        truth = json.loads((good / "truth.json").read_text()) | {"id": name}
        if name == "no_level":
            del truth["level"]
        if name == "odd_outline":
            truth["roi_polygon_frac"] = "all of it"
        (folder / "truth.json").write_text("{" if name == "no_json" else json.dumps(truth))
    with pytest.raises(UnusablePairsError) as error:
        read_pairs(tmp_path, ["no_json", "no_level", "no_after", "odd_outline", "nobody"])
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    for word in ("no pair nobody", "no_json", "has no level", "no photograph after", "odd_outline"):
        assert any(word in line for line in lines), word


@pytest.fixture
def lots(rendered_pairs, tmp_path) -> Path:
    """The boards of two lots of different types in one folder."""
    for name in ("lot_01_left", "lot_02_left", "lot_01_right_side"):
        folder = tmp_path / "lots" / name
        folder.mkdir(parents=True)
        good = rendered_pairs / f"easy_{1 + (name == 'lot_02_left'):02}_rendered"
        for path in good.iterdir():
            if path.name != "truth.json":
                (folder / path.name).symlink_to(path.resolve())
        truth = json.loads((good / "truth.json").read_text()) | {"id": name}
        (folder / "truth.json").write_text(json.dumps(truth))
    return tmp_path / "lots"


def test_lots_of_several_types_are_told_apart_by_the_end_of_the_folder_name(lots, tmp_path):
    pairs = read_pairs(lots)
    kinds = {pair.id: kind_of_board(pair) for pair in pairs}
    assert kinds == {"lot_01_left": "left", "lot_02_left": "left", "lot_01_right_side": "right_side"}
    left = [pair for pair in pairs if kinds[pair.id] == "left"]
    lot = yaml.safe_load(lay_out(left, "lot", tmp_path / "left").read_text())
    assert lot["manifest"] == "boards.csv"
    document = yaml.safe_load((tmp_path / "left" / "left.yaml").read_text())
    assert set(document) == {"schema", "board_type", "reference", "frame", "outline", "white"}
    assert document["reference"] == "lot"
    # the frame is the first board's shot, drawn on as it is
    assert document["frame"] == str(left[0].before.absolute())
    assert document["outline"]["polygon"] == np.round(left[0].outline, 6).tolist()


def test_what_the_product_cannot_run_stands_in_its_rows_and_in_the_exit_code(lots, tmp_path, capsys, monkeypatch):
    real = accuracy.run

    def without_lots(lot, *given, **more):
        if "reference: lot" in "".join(p.read_text() for p in Path(lot).parent.glob("*.yaml")):
            raise ConfigError("no reference can be built")
        return real(lot, *given, **more)

    monkeypatch.setattr(accuracy, "run", without_lots)
    given = ["--lot", str(lots), "--workers", "0", "--out", str(tmp_path / "out"), "--json"]
    assert accuracy.main(given) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    status = {(row["id"], row["estimator"]): row["status"] for row in rows}
    assert {row["estimator"] for row in rows} == set(ESTIMATORS)
    assert status["lot_01_left", "lot"] == "failed: no reference can be built"
    assert status["lot_01_left", "golden"] == "measured"


def test_one_golden_shot_that_cannot_be_used_costs_the_others_nothing(rendered_pairs, tmp_path):
    for number in (1, 2):
        good = rendered_pairs / f"easy_{number:02}_rendered"
        folder = tmp_path / "pairs" / good.name
        folder.mkdir(parents=True)
        for path in good.iterdir():
            (folder / path.name).symlink_to(path.resolve())
    (folder / "golden.png").unlink()
    (folder / "golden.png").write_bytes(b"not a photograph")
    rows = accuracy.measure(read_pairs(tmp_path / "pairs"), tmp_path / "out", workers=0)
    status = {row["id"]: row["status"] for row in rows if row["estimator"] == "golden"}
    assert status["easy_01_rendered"] == "measured"
    assert status["easy_02_rendered"].startswith("failed: ")


def row(name: str, kind: str = "reduce", estimator: str = "golden", **given) -> dict:
    nothing = dict.fromkeys(KEYS)
    head = {"id": name, "level": "hard", "kind": kind, "estimator": estimator, "status": "measured"}
    return nothing | head | given


def test_the_table_lists_every_level_and_what_has_no_number():
    rows = []
    for name in (*ALONE, *NAIVE):
        rows += [row("hard_1", estimator=name, truth_pct=80.0, estimate_pct=81.5, load_before=0.1)]
        rows += [row("blank_1", "blank", name, load_before=1e-5, status="before_below_lod")]
    text = leaderboard(rows)
    assert "hard    golden               1          0      1.50    1.50    1.50         -       -  hard_1" in text
    assert "blank_1                   golden  before_below_lod, load before 0.00001" in text
    assert " lot " not in text  # nobody measured by it


def test_the_table_counts_covered_truths_and_the_width_of_intervals():
    rows = [
        row("a", truth_pct=80.0, estimate_pct=81.0, low_pct=79.0, high_pct=83.0),
        row("b", truth_pct=80.0, estimate_pct=85.0, low_pct=82.0, high_pct=88.0),
        row("c", truth_pct=80.0, estimate_pct=80.0),  # no interval: neither hit nor miss
        row("n", "null", truth_pct=0.0, estimate_pct=0.5, low_pct=-1.0, high_pct=1.0),
    ]
    text = leaderboard(rows)
    assert "hard    golden               3          0      2.00    2.00    5.00       1/2    5.00  b" in text
    assert "  golden                   2/3    4.00" in text


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the photographed pairs beside the project")
def test_photographed_pairs_are_measured_better_than_by_hand(tmp_path):
    given = read_pairs(SHARED)
    pairs = [next(p for p in given if p.kind == kind) for kind in ("reduce", "worse")]
    rows = accuracy.measure(pairs, tmp_path, workers=0)
    error = {
        (row["kind"], row["estimator"]): abs(row["estimate_pct"] - row["truth_pct"])
        for row in rows
        if row["estimator"] != "pair"  # which may rightly give no number
    }
    for kind in ("reduce", "worse"):
        assert error[kind, "golden"] < 4
        assert error[kind, "golden"] < min(error[kind, name] for name in NAIVE)
