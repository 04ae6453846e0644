"""`bench`: a sample of one's own lot, where its time goes, and what is slower than before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import small
from small import SmallLot

import residue_batch as rb
from residue_batch.errors import UsageError
from residue_batch.speed import GROUPS, Bench, against, document


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    """Six boards, one of which cannot be decoded and one that lacks a shot."""
    kinds = ("reduce", "reduce", "reduce", "reduce", "truncated", "unpaired")
    return small.make_lot(tmp_path_factory.mktemp("six"), boards=6, kinds=kinds)


@pytest.fixture(scope="module")
def found(six: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    scratch = tmp_path_factory.mktemp("scratch")
    result = rb.bench(six.lot, six.workflow, boards=5, workers=(0, 1), scratch=scratch, sets=["keep=[opacity]"])
    assert list(scratch.iterdir()) == [], "nothing is left behind"
    return result


def test_a_sample_says_what_a_board_and_all_of_them_take(found: Bench) -> None:
    assert (found.boards, found.archive_boards, found.refused) == (5, 5, 1)
    assert found.board_mp == pytest.approx(2 * 360 * 480 / 1e6)
    assert found.board_mb > 0.1
    assert [run.workers for run in found.runs] == [0, 1]
    for run in found.runs:
        assert run.mp_s == pytest.approx(found.board_mp / run.board_s)
        assert run.archive_s == pytest.approx(run.start_s + run.once_s + 5 * run.board_s + run.finish_s)
        assert run.peak_mb > 50
        # the opacity of both phases, what was seen, and a picture
        assert run.output_mb > 0.05
    assert found.runs[0].scaling == 1
    assert found.runs[1].scaling == pytest.approx(found.runs[1].mp_s / found.runs[0].mp_s)


def test_the_shares_are_all_of_the_time_under_names_that_people_know(found: Bench) -> None:
    for run in found.runs:
        assert sum(share.share_pct for share in run.shares) == pytest.approx(100)
        assert (
            {"read", "hash", "decode", "match", "planes", "measures", "pictures", "write"}
            <= {share.name for share in run.shares}
            <= set(GROUPS)
        )
        reading = next(share for share in run.shares if share.name == "read")
        assert reading.mb_s == pytest.approx(4 * found.board_mb / reading.seconds)


def test_the_same_boards_are_drawn_every_time_and_from_all_over_the_lot(six: SmallLot, tmp_path: Path) -> None:
    one, two = (rb.bench(six.lot, six.workflow, boards=2, workers=(0,), scratch=tmp_path) for _ in range(2))
    assert one.board_mb == two.board_mb
    assert (one.boards, one.archive_boards) == (2, 5)


def test_a_slower_run_is_found_and_a_slightly_slower_one_is_not(found: Bench, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document(found)))
    assert not any(one.slower for one in against(old, found, 0.1))
    slow = replace(found, runs=tuple(replace(run, mp_s=0.85 * run.mp_s) for run in found.runs))
    judged = against(old, slow, 0.1)
    assert [one.what for one in judged if one.slower] == ["MP/s, in this process", "MP/s, 1 worker"]
    assert judged[0].ratio == pytest.approx(0.85)
    assert not any(one.slower for one in against(old, slow, 0.2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d | {"workflow": "another"}, "compare like with like"),
        (lambda d: d | {"format": 0}, "another version"),
        (lambda d: d | {"runs": [run | {"workers": 7} for run in d["runs"]]}, "it has 7"),
        (lambda d: {"boards": 3}, "does not hold what"),
    ],
)
def test_what_cannot_be_compared_is_said(found: Bench, tmp_path: Path, change, said: str) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(change(document(found))))
    with pytest.raises(UsageError, match=said):
        against(old, found, 0.1)
    with pytest.raises(UsageError, match="No such file"):
        against(tmp_path / "nowhere.json", found, 0.1)


def test_a_lot_of_which_no_board_can_be_measured_is_no_benchmark(tmp_path: Path) -> None:
    spoilt = small.make_lot(tmp_path / "spoilt", boards=1, kinds=("truncated",))
    with pytest.raises(UsageError, match="no board of the sample"):
        rb.bench(spoilt.lot, spoilt.workflow, workers=(0,))
    unpaired = small.make_lot(tmp_path / "unpaired", boards=1, kinds=("unpaired",))
    with pytest.raises(UsageError, match="residue lot scan"):
        rb.bench(unpaired.lot, unpaired.workflow, workers=(0,))
