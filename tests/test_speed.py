"""`bench`: a sample of one's own lot, where its time goes, and what is slower than before."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small
from small import SmallLot

import residue_batch as rb
from residue_batch import api
from residue_batch.errors import UsageError
from residue_batch.ledger import Progress
from residue_batch.prepare import prepare
from residue_batch.speed import GROUPS, Bench, BoardTime, against, differences, document, earlier, speed_of


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    """Six boards, one of which cannot be decoded and one that lacks a shot."""
    kinds = ("reduce", "reduce", "reduce", "reduce", "truncated", "unpaired")
    return small.make_lot(tmp_path_factory.mktemp("six"), boards=6, kinds=kinds)


@pytest.fixture(scope="module")
def seen() -> list[tuple[float, Progress]]:
    """What the benchmark below told while it went on, and when."""
    return []


@pytest.fixture(scope="module")
def found(six: SmallLot, seen: list[tuple[float, Progress]], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    scratch = tmp_path_factory.mktemp("scratch")
    result = rb.bench(
        six.lot,
        six.workflow,
        boards=5,
        workers=(1, 0, 1),
        scratch=scratch,
        sets=["keep=[opacity]"],
        on_progress=lambda now: seen.append((time.perf_counter(), now)),
    )
    assert list(scratch.iterdir()) == [], "nothing is left behind"
    return result


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    """A board in uneven light, and two photographs of a card in it."""
    made = small.make_lot(tmp_path_factory.mktemp("lit"), boards=1, uneven=0.5)
    (made.folder / "other.png").write_bytes((made.folder / "card.png").read_bytes() + b"\0")
    return made


def written(found: Bench, folder: Path, change: Any = lambda d: d) -> Path:
    """A measurement as ``--json`` leaves it, and what became of it."""
    old = folder / "old.json"
    old.write_text(json.dumps(change(document(found) | {"compared": [], "exit_code": 0})))
    return old


def test_a_sample_says_what_a_board_and_all_of_them_take(found: Bench) -> None:
    assert (found.boards, found.archive_boards, found.refused) == (5, 5, 1)
    assert found.board_mp == pytest.approx(2 * 360 * 480 / 1e6)
    assert found.board_mb > 0.1
    for run in found.runs:
        # one of five has no number, and takes no time worth mentioning
        boards_s = 4 * found.board_mp / run.mp_s
        assert run.archive_s == pytest.approx(run.start_s + run.once_s + boards_s + run.finish_s)
        assert 0 < run.board_s < run.boards_s
        assert run.peak_mb > 50
        # the opacity of both phases, what was seen, and a picture
        assert run.output_mb > 0.05


def test_speed_is_what_was_seen_from_the_first_board_to_the_last(
    found: Bench, seen: list[tuple[float, Progress]]
) -> None:
    here = seen[:5]
    times = [at for at, now in here if now.outcome != "refused"]
    assert len(times) == 4
    assert found.runs[0].mp_s == pytest.approx(3 * found.board_mp / (times[-1] - times[0]), rel=0.02)


def test_scaling_is_over_the_fewest_workers_in_whatever_order_they_are_given(found: Bench) -> None:
    assert [run.workers for run in found.runs] == [0, 1]
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
    old = written(found, tmp_path)
    assert not any(one.slower for one in against(old, found, 0.1))
    slow = replace(found, runs=tuple(replace(run, mp_s=0.85 * run.mp_s) for run in found.runs))
    judged = against(old, slow, 0.1)
    assert [one.what for one in judged if one.slower] == ["MP/s, in this process", "MP/s, 1 worker"]
    assert judged[0].ratio == pytest.approx(0.85)
    assert not any(one.slower for one in against(old, slow, 0.2))


def changed(**to: Any) -> Any:
    return lambda d: d | to


def without(*keys: str) -> Any:
    return lambda d: {key: value for key, value in d.items() if key not in keys}


def run_of(change: Any) -> Any:
    """A document each run of which is changed."""
    return lambda d: d | {"runs": [change(run) for run in d["runs"]]}


def share_of(change: Any) -> Any:
    return run_of(lambda run: run | {"shares": [change(share) for share in run["shares"]]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(lot="L2"), "lot L2, this is of L1; compare like with like: give the same LOT"),
        (
            changed(workflow="other"),
            "workflow other, this is of flux; compare like with like: give the same --workflow",
        ),
        (changed(board_types=["a", "b"]), "board types a, b, this is of small; .* --board-type"),
        (changed(sets=[]), r"sets none, this is of keep=\[opacity\]; .* --set"),
        (changed(executor="graph"), "executor graph, this is of auto; .* --executor"),
        (changed(tile=512), "tile 512, this is of 1024; .* --tile"),
        (run_of(changed(workers=7)), "it has 7, 7; give one of them with --workers"),
    ],
)
def test_other_work_is_not_compared_and_both_values_and_the_remedy_are_said(
    found: Bench, tmp_path: Path, change: Any, said: str
) -> None:
    old = written(found, tmp_path, change)
    with pytest.raises(UsageError, match=f"old.json .*{said}"):
        against(old, found, 0.1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(format=1), "another version of residue bench; measure again"),
        (without("format"), "format: Field required"),
        (lambda d: {"boards": 3}, "does not hold what"),
        (lambda d: {"error": {"kind": "UsageError"}, "exit_code": 2}, "does not hold what"),
        (lambda d: [d], "does not hold what"),
        (without("machine"), "machine: Field required"),
        (changed(runs=[]), "runs: "),
        (changed(runs=None), "runs: "),
        (changed(sets="keep"), "sets: "),
        (run_of(without("workers")), r"runs\.0\.workers: Field required"),
        (run_of(changed(workers="1")), r"runs\.0\.workers: "),
        (run_of(changed(mp_s=None)), r"runs\.0\.mp_s: "),
        (run_of(changed(mp_s=0)), r"runs\.0\.mp_s: "),
        (run_of(changed(mp_s=float("nan"))), r"runs\.0\.mp_s: "),
        (run_of(changed(shares=[])), r"runs\.0\.shares: "),
        (share_of(without("mp_s")), r"runs\.0\.shares\.0\.mp_s: Field required"),
        (share_of(changed(mp_s=0.0)), r"runs\.0\.shares\.0\.mp_s: "),
        (share_of(without("name")), r"runs\.0\.shares\.0\.name: "),
    ],
)
def test_a_damaged_measurement_is_refused_as_it_is_read(found: Bench, tmp_path: Path, change: Any, said: str) -> None:
    old = written(found, tmp_path, change)
    with pytest.raises(UsageError, match=f"old.json .*{said}"):
        earlier(old)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_no_measurement(tmp_path: Path, content: bytes) -> None:
    old = tmp_path / "old.json"
    old.write_bytes(content)
    with pytest.raises(UsageError, match="old.json cannot be compared with: .*Invalid JSON.*residue bench LOT --json"):
        earlier(old)
    with pytest.raises(UsageError, match="No such file"):
        earlier(tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="Is a directory"):
        earlier(tmp_path)


def test_what_was_written_reads_back_as_it_was(found: Bench, tmp_path: Path) -> None:
    assert earlier(written(found, tmp_path)).found == found


def test_another_machine_and_runs_of_one_only_are_told_and_the_rest_is_compared(found: Bench, tmp_path: Path) -> None:
    more = [replace(found.runs[1], workers=count) for count in (1, 4)]
    old = earlier(written(replace(found, machine="Plan9", boards=2, runs=tuple(more)), tmp_path))
    machine, boards, gone, new = differences(old, found)
    assert f"machine Plan9, this is of {found.machine}" in machine
    assert "boards 2, this is of 5" in boards
    assert gone.startswith("4 workers: only in")
    assert new.startswith("in this process: not in")
    assert [one.what for one in against(old, found, 0.1) if one.what.startswith("MP/s")] == ["MP/s, 1 worker"]
    assert differences(earlier(written(found, tmp_path)), found) == ()


def test_nothing_is_measured_where_it_could_not_be_compared(
    six: SmallLot, found: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "run", lambda *_, **__: pytest.fail("a sample was measured"))
    old = written(found, tmp_path)
    given = {"workers": (0,), "sets": ["keep=[opacity]"]}
    for wrong, said in (
        ({"tile": 512}, "tile 1024, this is of 512"),
        ({"executor": "inline"}, "executor auto, this is of inline"),
        ({"sets": []}, "this is of none"),
        ({"workers": (2,)}, "it has 0, 1"),
        ({"like": tmp_path / "nowhere.json"}, "No such file"),
    ):
        with pytest.raises(UsageError, match=said):
            rb.bench(six.lot, six.workflow, **{"like": old, **given, **wrong})


def times_of(*done: tuple[float, float]) -> list[BoardTime]:
    return [BoardTime(at, seconds, 24.0) for at, seconds in done]


@pytest.mark.parametrize(
    ("boards", "workers", "speed"),
    [
        # the first board makes the frame too; between boards a second goes by that no worker counts
        (times_of((5, 5), (8, 2), (11, 2), (14, 2)), 0, 3 / 9),
        (times_of((5, 5), (8, 2), (11, 2), (14, 2)), 1, 3 / 9),
        # one slow board counts as much as it took: a mean, no median
        (times_of((2, 2), (4, 2), (6, 2), (16, 10)), 1, 3 / 14),
        # two workers in step, that hinder each other
        (times_of((5, 5), (5.1, 5), (8, 3), (8.1, 3), (11, 3), (11.1, 3)), 2, 4 / 6),
        # no more boards than workers: all over the time of the boards
        (times_of((5, 5), (6, 5)), 2, 2 / 20),
        (times_of((5, 5)), 4, 1 / 20),
        # tiny boards that come back together: all at once, or two and two
        (times_of((3, 1), (3.01, 1), (3.02, 1)), 1, 3 / 20),
        (times_of((3, 1), (3.01, 1), (6, 1), (6.01, 1), (9, 1), (9.01, 1)), 1, 4 / 6),
        # what was begun before makes no worker faster than it is
        (times_of((2, 2), (3, 2), (3.9, 2)), 2, 1 / 1),
    ],
)
def test_speed_is_measured_from_when_each_worker_has_done_its_first_board(
    boards: list[BoardTime], workers: int, speed: float
) -> None:
    assert speed_of(boards, workers, 20.0) == pytest.approx(24 * speed, rel=0.01)
    assert speed_of(boards[::-1], workers, 20.0) == speed_of(boards, workers, 20.0)
    assert statistics.fmean(board.megapixels for board in boards) == 24


@pytest.mark.parametrize("key", ["card.png", "{before: card.png}", "{before: card.png, after: other.png}"])
@pytest.mark.parametrize("above", [False, True], ids=["in the lot", "by --set"])
def test_a_sample_is_measured_under_the_cards_of_its_lot(
    lit: SmallLot, monkeypatch: pytest.MonkeyPatch, key: str, above: bool
) -> None:
    lines = lit.lot.read_text()
    sets = [f"lot.flat_field={key}"] if above else []
    samples = []

    def looked_at(sample: Path, workflow: Path, sets: list[str], **_: Any) -> None:
        samples.append(prepare(sample, workflow, sets=sets))
        raise UsageError("seen")

    monkeypatch.chdir(lit.folder)
    monkeypatch.setattr(api, "run", looked_at)
    lot = lit.folder / "own.yaml"
    lot.write_text(lines + ("" if above else f"flat_field: {key}\n") + "phases: {before: [dirty]}\n")
    with pytest.raises(UsageError, match="seen"):
        rb.bench("own.yaml", lit.workflow, workers=(0,), sets=sets)
    whole = prepare(lot, lit.workflow, sets=sets)
    (setting,), (sampled,) = whole.settings.values(), samples[0].settings.values()
    assert sampled.cards == setting.cards
    assert all(Path(card.path).is_absolute() for card in sampled.cards if card)
    assert samples[0].fingerprint == whole.fingerprint
    assert samples[0].lot.phases == whole.lot.phases


def test_a_lot_of_which_no_board_can_be_measured_is_no_benchmark(tmp_path: Path) -> None:
    spoilt = small.make_lot(tmp_path / "spoilt", boards=1, kinds=("truncated",))
    with pytest.raises(UsageError, match="no board of the sample"):
        rb.bench(spoilt.lot, spoilt.workflow, workers=(0,))
    unpaired = small.make_lot(tmp_path / "unpaired", boards=1, kinds=("unpaired",))
    with pytest.raises(UsageError, match="residue lot scan"):
        rb.bench(unpaired.lot, unpaired.workflow, workers=(0,))
