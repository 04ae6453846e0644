"""The throughput benchmark, tiny: one board of 1 MP."""

from __future__ import annotations

import json

from benchmarks import stages, throughput, watch


def test_one_small_board_gives_every_number(tmp_path, capsys):
    arguments = ["--boards", "1", "--megapixels", "1", "--workers", "1", "--out", str(tmp_path), "--json"]
    assert throughput.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    (run,) = found["runs"]
    assert run["exit_code"] == 0
    assert run["boards"] == 1
    assert 1.9 < found["input_mp"] < 2.1
    assert run["mp_s_per_core_without_start"] > run["mp_s_per_core"] > 0
    assert run["memory_mb"]["peak"] > 50
    inline = found["inline"]
    assert {"scene", "hash", "open", "match", "measure"} <= set(inline["stages_s"])
    assert 0 < inline["decode_s"] < inline["board_s"]
    assert inline["same_numbers"]
    assert set(inline["tiles_s"]) == {"512", "1024", "2048"}
    assert any(name.startswith("matching.") for name in inline["functions_s"])
    assert "MP/s/core" in throughput.table(_with_sizes(found))


def _with_sizes(found: dict) -> dict:
    """JSON has no integer keys."""
    tiles = {int(size): seconds for size, seconds in found["inline"]["tiles_s"].items()}
    return found | {"inline": found["inline"] | {"tiles_s": tiles}}


def test_memory_is_the_peak_of_the_largest_worker_by_quarters():
    samples = [(float(at), {1: 100_000_000 + at, 2: 50_000_000}) for at in range(9)]
    samples[1][1][2] = 300_000_000
    found = watch.memory(samples, 0, 8)
    assert found == {"peak": 300, "first_quarter": 300, "last_quarter": 100.000008}


def test_time_of_a_function_counts_what_it_calls_outside_the_package():
    import cProfile

    import numpy as np

    from residue_batch.matching.resample import blur

    profile = cProfile.Profile()
    profile.enable()
    blur(np.zeros((1, 500, 500), np.uint16), 3.0)
    profile.disable()
    own = stages.own_seconds(profile)
    assert next(iter(own)) == "matching.resample.blur"
