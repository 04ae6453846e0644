"""A reference built from the shots of a lot: what it is, what it leaves out, and when there is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small
from distributed import Client
from small import SmallLot

from residue_batch import api, built, photo
from residue_batch.artefacts import lay_out, shots_of
from residue_batch.building import LEAST_SHOTS, MOST_SHOTS, Building, found_of
from residue_batch.config import BoardShots, load_board_type, load_lot, scan
from residue_batch.engine.graph import run_graph
from residue_batch.engine.inline import run_inline
from residue_batch.errors import ConfigError, Refusal
from residue_batch.files import PhotoFile

SHOTS = 8


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    """Four boards of a type whose reference is the lot's."""
    made = small.make_lot(tmp_path_factory.mktemp("four"), 4, shape=(480, 640), difficulty="medium", seed=5)
    small.write_type(made.board_type, made.truth, "lot")
    return made


def state_of(lot: SmallLot, scratch: Path, tile: int = 256) -> tuple[Any, Building]:
    board_type = load_board_type(str(lot.board_type))
    assert board_type.frame is not None
    frame = PhotoFile(board_type.frame, photo.hash_file(board_type.frame).sha256)
    scratch.mkdir(parents=True, exist_ok=True)
    return lay_out(board_type, frame, scan(load_lot(str(lot.lot))).usable, scratch, tile)


def built_of(lot: SmallLot, scratch: Path, tile: int = 256) -> Building:
    return run_inline(*state_of(lot, scratch, tile))


@pytest.fixture(scope="module")
def done(four: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Building:
    return built_of(four, tmp_path_factory.mktemp("done"))


def copy_of(lot: SmallLot, folder: Path) -> SmallLot:
    """A copy of a lot, to be spoilt."""
    shutil.copytree(lot.folder, folder)
    return replace(lot, folder=folder, lot=folder / "lot.yaml", board_type=folder / "small.yaml")


def blurred(lot: SmallLot, index: int, phase: str, sigma: float) -> None:
    path = lot.shot(index, phase)
    small.write_image(path, cv2.GaussianBlur(small.read_image(path), (0, 0), sigma))


# what it is ----------------------------------------------------------------------------


def test_it_looks_like_the_clean_board(four: SmallLot, done: Building) -> None:
    code, valid = found_of(done)
    golden = small.read_image(four.folder / four.truth.golden)[..., ::-1].astype(np.float64) / 255
    x, y = np.array(four.truth.outline).min(0), np.array(four.truth.outline).max(0)
    inside = (slice(x[1] + 8, y[1] - 8), slice(x[0] + 8, y[0] - 8))
    assert valid[inside].all()
    found, clean = code[inside] / 65535, golden[inside]
    # in another light and with other glints: as alike as two photographs of it
    assert np.corrcoef(found.ravel(), clean.ravel())[0, 1] > 0.9
    assert done.agreement is not None
    assert done.agreement.spread < 0.02


@pytest.mark.parametrize("tile", [64, 192, 1024])
def test_tiles_decide_nothing(four: SmallLot, done: Building, tmp_path: Path, tile: int) -> None:
    other = built_of(four, tmp_path, tile)
    assert np.array_equal(found_of(other)[0], found_of(done)[0])
    assert other.agreement == done.agreement
    assert other.seen == done.seen


def test_workers_decide_nothing(four: SmallLot, done: Building, tmp_path: Path, client: Client) -> None:
    other = run_graph(client, *state_of(four, tmp_path, 128))
    assert np.array_equal(found_of(other)[0], found_of(done)[0])
    assert other.agreement == done.agreement


def test_the_order_in_which_boards_are_found_decides_nothing(four: SmallLot) -> None:
    boards = scan(load_lot(str(four.lot))).usable
    assert shots_of(boards) == shots_of(tuple(reversed(boards)))


def test_of_a_large_lot_some_boards_are_drawn_evenly() -> None:
    boards = [BoardShots(f"B{n:04d}", "t", "L", Path(f"{n}b"), Path(f"{n}a")) for n in range(1000)]
    shots = shots_of(boards)
    assert len(shots) == MOST_SHOTS
    numbers = sorted({int(origin.board[1:]) for origin, _ in shots})
    assert len(numbers) == MOST_SHOTS // 2
    assert numbers[0] < 150
    assert numbers[-1] > 850


# what it leaves out ----------------------------------------------------------------------


def test_a_blurred_and_a_foreign_shot_are_left_out_and_named(four: SmallLot, tmp_path: Path) -> None:
    lot = copy_of(four, tmp_path / "lot")
    blurred(lot, 0, "after", 3.0)
    foreign = small.make_lot(tmp_path / "foreign", 1, shape=(480, 640), seed=77)
    shutil.copy(foreign.shot(0, "before"), lot.shot(3, "before"))
    state = built_of(lot, tmp_path / "scratch")
    named = {str(state.origins[i]): one for i, one in state.seen.items() if one.reason}
    assert {name: one.reason for name, one in named.items()} == {
        "B001 after": "blurred",
        "B004 before": "registration",
    }
    assert all(one.message for one in named.values())
    assert str(tmp_path) not in " ".join(one.message for one in named.values())


def test_a_photograph_counts_once(four: SmallLot, tmp_path: Path) -> None:
    lot = copy_of(four, tmp_path / "lot")
    shutil.copy(lot.shot(1, "after"), lot.shot(2, "after"))
    plan, state = state_of(lot, tmp_path / "scratch")
    seen = run_inline(replace(plan, stages=plan.stages[:1]), state).seen
    (copy,) = (one for one in seen.values() if one.reason)
    assert (copy.reason, copy.message) == ("duplicate", "the same photograph as B002 after")


def test_too_few_shots_say_how_many_are_needed(four: SmallLot, tmp_path: Path) -> None:
    lot = copy_of(four, tmp_path / "lot")
    for index in (0, 1, 2):
        lot.shot(index, "after").write_bytes(lot.shot(index, "after").read_bytes()[:3000])
    with pytest.raises(Refusal, match=f"5 usable shots.* needs {LEAST_SHOTS}.*B001 after: unreadable") as caught:
        built_of(lot, tmp_path / "scratch")
    assert caught.value.reason == "lot_reference"
    assert "golden" in caught.value.remedy


def test_shots_that_disagree_give_no_reference(four: SmallLot, tmp_path: Path) -> None:
    lot = copy_of(four, tmp_path / "lot")
    chance = np.random.default_rng(2)
    for index in range(4):
        for phase in ("before", "after"):
            image = small.read_image(lot.shot(index, phase)).astype(np.float64)
            cloud = cv2.resize(chance.uniform(0, 1, (12, 16)), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
            film = np.clip(cloud * 0.9, 0, 0.85)[..., None]
            small.write_image(lot.shot(index, phase), ((1 - film) * image + film * 235).astype(np.uint8))
    with pytest.raises(Refusal) as caught:
        built_of(lot, tmp_path / "scratch")
    assert caught.value.reason == "lot_reference"
    assert "disagree" in caught.value.message or "needs" in caught.value.message


# its files --------------------------------------------------------------------------------


def test_it_is_written_as_a_photograph_with_provenance(done: Building, tmp_path: Path) -> None:
    reference = built.write(tmp_path / "v1", done)
    shown = photo.read(reference.picture.path, tone="srgb")
    code, valid = found_of(done)
    assert np.array_equal(shown.pixels[valid], code[valid])
    document = json.loads((tmp_path / "v1" / built.PROVENANCE).read_text())
    assert len(document["shots"]) == SHOTS
    assert all(len(shot["sha256"]) == 64 for shot in document["shots"])
    assert document["agreement"]["spread"] > 0
    assert str(tmp_path) not in json.dumps(document)
    assert built.read(tmp_path / "v1", done.frame).provenance == reference.provenance


def test_the_same_shots_make_no_new_version(done: Building, tmp_path: Path) -> None:
    first, new = built.write_version(tmp_path, done)
    again, newer = built.write_version(tmp_path, done)
    assert (first.folder.name, new, again.folder.name, newer) == ("v1", True, "v1", False)
    other, newest = built.write_version(tmp_path, replace(done, origins=tuple(reversed(done.origins))))
    assert (other.folder.name, newest) == ("v2", True)
    assert built.versions(tmp_path) == [1, 2]


def test_a_reference_that_was_touched_is_noticed(done: Building, tmp_path: Path) -> None:
    for name in (built.PICTURE, built.PROVENANCE):
        folder = built.write(tmp_path / name, done).folder
        path = folder / name
        data = bytearray(path.read_bytes())
        data[data.index(b"0") if name == built.PROVENANCE else len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(Refusal) as caught:
            built.read(folder)
        assert caught.value.reason == "reference"
    built.write(tmp_path / "refs" / "v3", done)
    with pytest.raises(Refusal, match="v3"):
        built.read(tmp_path / "refs")
    with pytest.raises(Refusal, match="no built reference"):
        built.read(tmp_path / "nothing")
    with pytest.raises(Refusal, match="another frame"):
        built.read(tmp_path / "refs" / "v3", PhotoFile("f", "0" * 64))


# in a run -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(four: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return api.run(four.lot, four.workflow, out=tmp_path_factory.mktemp("runs"), workers=0)


def errors(lot: SmallLot, dataset: Any) -> list[float]:
    whole = dataset.sel(region="whole")["load_reduction_pct"]
    return [float(whole.sel(board=one.board)) - (one.whole.reduction_pct or 0) for one in lot.truth.boards]


def test_a_rendered_lot_is_read_near_its_truth(four: SmallLot, finished: Any) -> None:
    assert np.mean(np.abs(errors(four, finished))) < 4


def test_the_same_command_builds_once(four: SmallLot, finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(finished.attrs["folder"])
    state = json.loads((folder / "run.json").read_text())
    (summary,) = state["references"].values()
    assert summary["used"] == SHOTS

    def never(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr("residue_batch.artefacts.build", never)
    again = api.run(four.lot, four.workflow, out=folder.parent, workers=0)
    assert again.attrs["folder"] == str(folder)
    assert again.identical(finished) or again.equals(finished)
    planned = api.plan(four.lot, four.workflow, out=folder.parent)
    assert (planned.references, planned.done) == (0, 4)


def test_the_plan_counts_the_reference_that_comes_first(four: SmallLot, tmp_path: Path) -> None:
    planned = api.plan(four.lot, four.workflow, out=tmp_path)
    assert (planned.references, planned.reference_shots) == (1, SHOTS)
    assert planned.tasks > 4


def test_a_lot_too_small_for_a_reference_has_refused_boards(lot: SmallLot, tmp_path: Path) -> None:
    alone = copy_of(lot, tmp_path / "lot")
    small.write_type(alone.board_type, alone.truth, "lot")
    dataset = api.run(alone.lot, alone.workflow, out=tmp_path / "runs", workers=0)
    assert dataset.attrs["exit_code"] == 3
    assert set(dataset["reason"].values) == {"lot_reference"}
    # with more boards the same command measures them
    assert not (Path(dataset.attrs["folder"]) / "records.log").read_bytes()


def test_a_reference_outlives_its_run_and_decides_the_keys(four: SmallLot, finished: Any, tmp_path: Path) -> None:
    reference, new = api.build_reference(four.lot, tmp_path / "refs", workers=0)
    assert new
    (summary,) = json.loads((Path(finished.attrs["folder"]) / "run.json").read_text())["references"].values()
    assert reference.provenance["digest"] == summary["digest"]
    named = copy_of(four, tmp_path / "lot")
    small.write_type(named.board_type, named.truth, "lot", extra=f"built: {reference.folder}")
    setting, bare = small.setting(named.board_type), small.setting(four.board_type)
    assert setting.golden == reference.picture
    assert setting.canonical != bare.canonical
    dataset = api.run(named.lot, named.workflow, out=tmp_path / "runs", workers=0)
    assert errors(named, dataset) == pytest.approx(errors(four, finished))
    (checked,) = api.check([str(named.board_type)])
    assert not checked.problems
    # another frame is another place for every pixel
    small.write_type(named.board_type, named.truth, "lot", extra=f"built: {reference.folder}", golden="other.png")
    image = small.read_image(named.folder / named.truth.golden)
    small.write_image(named.folder / "other.png", image[::-1])
    with pytest.raises(ConfigError, match="another frame"):
        small.setting(named.board_type)


def test_one_pair_is_no_lot(four: SmallLot) -> None:
    with pytest.raises(ConfigError, match="one pair is no lot"):
        api.try_pair(four.board_type, four.shot(0, "before"), four.shot(0, "after"), four.workflow)
