"""From configuration to work: all mistakes at once, and nothing measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import small
from small import FLUX, SmallLot

from residue_batch.errors import ConfigError, UsageError
from residue_batch.prepare import check_scene, prepare, sets_for, setting_of


@pytest.fixture
def own(lot: SmallLot, tmp_path: Path) -> SmallLot:
    folder = tmp_path / "own"
    shutil.copytree(lot.folder, folder)
    return SmallLot(folder, lot.truth, folder / "lot.yaml", folder / "small.yaml", folder / "flux.yaml")


def problems(lot: SmallLot, **given: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        prepare(lot.lot, lot.workflow, **given)  # type: ignore[arg-type]
    return [f"{Path(p.file).name}:{p.line}: {p.message}" for p in caught.value.problems]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("workflow", ("planes.a.level=1", "b=2")),
        ("board_type", ("gates.min_inliers=5",)),
        ("lot", ("lot=x",)),
        ("cluster", ("workers=3",)),
    ],
)
def test_a_setting_belongs_to_one_file(scope: str, expected: tuple[str, ...]) -> None:
    sets = ["planes.a.level=1", "board_type.gates.min_inliers=5", "workflow.b=2", "lot.lot=x", "cluster.workers=3"]
    assert sets_for(sets, scope) == expected


def test_a_lot_is_prepared_with_its_boards(lot: SmallLot) -> None:
    made = prepare(lot.lot, lot.workflow)
    boards = list(made.boards("x"))
    assert [b.name for b in boards] == ["B001", "B002"]
    assert all(b.lot == "L1" and b.setting.folder == "x" for b in boards)
    assert Path(boards[0].shots["after"].path) == lot.shot(0, "after")
    assert made.folder_name == f"L1-flux-{made.fingerprint[:8]}"
    assert made.unusable() == []
    assert made.program == small.program(FLUX, pixel_size_um=lot.truth.pixel_size_um)


def test_the_mistakes_of_all_files_come_together(own: SmallLot) -> None:
    own.workflow.write_text(FLUX.replace("step: unmix", "stp: unmix"))
    own.board_type.write_text(own.board_type.read_text() + "outlin: 3\n")
    own.lot.write_text(own.lot.read_text() + "ptern: x\n")
    found = problems(own)
    assert {line.split(":")[0] for line in found} >= {"flux.yaml", "lot.yaml"}
    own.lot.write_text(own.lot.read_text().replace("ptern: x\n", ""))
    assert {line.split(":")[0] for line in problems(own)} == {"flux.yaml", "small.yaml"}


def test_mistakes_of_the_compiler_have_their_lines(own: SmallLot) -> None:
    own.workflow.write_text(FLUX.replace("step: unmix", "step: unmixx"))
    (found,) = problems(own)
    assert found == "flux.yaml:5: unknown step 'unmixx'"


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_a_golden_shot_that_cannot_be_read_is_a_mistake_of_the_board_type(own: SmallLot, damage: str) -> None:
    golden = own.folder / own.truth.golden
    golden.unlink()
    if damage == "missing":
        assert any("golden" in line and line.startswith("small.yaml:") for line in problems(own))
        return
    golden.write_bytes(b"" if damage == "empty" else b"hello")
    with pytest.raises(ConfigError, match="golden"):
        whole(own)


def whole(lot: SmallLot) -> None:
    """All that `run` looks at before it starts."""
    for setting in prepare(lot.lot, lot.workflow).settings.values():
        check_scene(setting)


def test_regions_that_are_not_found_end_the_run_before_it_starts(own: SmallLot) -> None:
    own.board_type.write_text(
        own.board_type.read_text() + "  chips: {found: {what: bright_metal, expect: 99, area: [5 px2, 9 px2]}}\n"
    )
    with pytest.raises(ConfigError, match="99"):
        check_scene(next(iter(prepare(own.lot, own.workflow).settings.values())))


def test_a_lot_without_photographs_is_a_mistake(own: SmallLot) -> None:
    shutil.rmtree(own.folder / "shots")
    assert problems(own)


def test_a_board_type_given_by_the_caller_wins(own: SmallLot) -> None:
    other = small.write_type(own.folder / "other.yaml", own.truth, "pair")
    made = prepare(own.lot, own.workflow, board_type=other)
    assert {s.board_type.reference for s in made.settings.values()} == {"pair"}


@pytest.mark.parametrize("tile", [-64, 1, 63, 100, 1000])
def test_a_tile_is_a_multiple_of_64(lot: SmallLot, tile: int) -> None:
    with pytest.raises(UsageError, match="multiple of 64"):
        prepare(lot.lot, lot.workflow, tile=tile)


def test_settings_override_the_files(lot: SmallLot) -> None:
    made = prepare(lot.lot, lot.workflow, sets=["planes.glare.above=0.5", "board_type.gates.min_inliers=7"])
    (setting,) = made.settings.values()
    assert setting.board_type.gates.min_inliers == 7
    assert made.fingerprint != prepare(lot.lot, lot.workflow).fingerprint


def test_the_fingerprint_does_not_know_tiles_limits_and_words(lot: SmallLot) -> None:
    plain = prepare(lot.lot, lot.workflow)
    other = prepare(
        lot.lot,
        lot.workflow,
        tile=64,
        sets=["description=words", "limits.load_reduction_pct.min=85", "board_type.description=w"],
    )
    assert other.fingerprint == plain.fingerprint


def test_a_setting_hashes_the_photographs_that_it_names(lot: SmallLot) -> None:
    setting = setting_of(prepare(lot.lot, lot.workflow).settings.popitem()[1].board_type, small.workflow(FLUX))  # type: ignore[attr-defined]
    assert setting.frame is not None
    assert len(setting.frame.sha256 or "") == 64
    assert setting.golden is None, "the golden shot is the frame"
