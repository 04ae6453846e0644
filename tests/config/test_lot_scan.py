"""A scan finds each board's two shots, and says why a board has not got them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from residue_batch.config import Lot, Scan, load_lot, scan, to_yaml
from residue_batch.errors import ConfigError

Write = Callable[..., Path]
Shown = Callable[[Callable[[], object]], list[str]]

HEAD = "schema: 1\nlot: L1\nboard_type: demo\n"
PATTERN = HEAD + "root: photos\npattern: '{lot}/{board}_{phase}.*'\n"
DIGEST = "ab" * 32


def scanned(write: Write, text: str, *files: str) -> Scan:
    for name in files:
        write(name, "x")
    write("lot.yaml", text)
    return scan(load_lot("lot.yaml"))


def rows(found: Scan) -> list[tuple[str, str]]:
    return [(f.kind, f.board) for f in found.findings]


def test_boards_are_found_by_pattern_and_sorted_by_id(write: Write) -> None:
    names = [f"photos/L1/{b}_{p}" for b in ("010", "002", "b", "B") for p in ("after.png", "before.JPG")]
    found = scanned(write, PATTERN, *names)
    assert [b.board for b in found.boards] == ["002", "010", "B", "b"]
    first = found.boards[0]
    assert (first.lot, first.board_type, first.problem) == ("L1", "demo", None)
    assert first.before is not None
    assert first.before.name == "002_before.JPG"
    assert first.shot("after") == first.after
    assert first.sha256("before") is None
    assert rows(found) == [("matched", b) for b in ("002", "010", "B", "b")]
    assert found.usable == found.boards
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301


def test_other_words_for_the_phases_are_known_in_any_case(write: Write) -> None:
    text = PATTERN + "phases: {before: [vorher, pre clean], after: [nachher]}\n"
    found = scanned(write, text, "photos/L1/a_b_VORHER.jpg", "photos/L1/a_b_after.png")
    assert rows(found) == [("matched", "a_b")]
    found = scanned(write, text, "photos/L1/c_pre clean.png", "photos/L1/c_nachher.png")
    assert rows(found) == [("matched", "a_b"), ("matched", "c")]


def test_a_word_for_a_phase_and_an_id_may_hold_the_separator(write: Write) -> None:
    text = PATTERN + "phases: {before: [pre_clean, not_after]}\n"
    found = scanned(write, text, "photos/L1/a_before_pre_clean.png", "photos/L1/a_before_after.png")
    assert rows(found) == [("matched", "a_before")]
    found = scanned(write, text, "photos/L1/b_not_after.png")
    assert ("unpaired", "b") in rows(found)


def test_a_board_without_partner_or_with_too_many_is_refused_and_the_others_go_on(write: Write) -> None:
    found = scanned(
        write,
        PATTERN,
        "photos/L1/good_before.png",
        "photos/L1/good_after.png",
        "photos/L1/lone_after.png",
        "photos/L1/many_before.png",
        "photos/L1/many_before.jpg",
        "photos/L1/many_after.jpg",
    )
    assert rows(found) == [("matched", "good"), ("unpaired", "lone"), ("ambiguous", "many")]
    good, lone, many = found.boards
    assert found.usable == (good,)
    assert lone.problem is not None
    assert lone.problem.message == "there is no before shot, only lone_after.png"
    assert lone.after is not None
    assert many.problem is not None
    assert many.problem.message == "2 before shots: many_before.jpg, many_before.png"
    assert many.before is None
    assert len(found.findings[2].files) == 3


def test_photographs_that_do_not_match_are_reported_and_other_files_are_not(write: Write) -> None:
    found = scanned(
        write,
        PATTERN,
        "photos/L1/a_during.png",
        "photos/L1/IMG0001.jpg",
        "photos/L1/thumbs/a_before.png",
        "photos/L1/notes_before.txt",
        "photos/L1/._a_before.png",
        "photos/L1/.cache/a_before.png",
        "photos/L2/z_before.png",
    )
    assert found.boards == ()
    assert [(f.kind, f.files[0].rsplit("photos/")[-1], f.reason) for f in found.findings] == [
        ("unmatched", "L1/IMG0001.jpg", "does not match {lot}/{board}_{phase}.*"),
        ("unmatched", "L1/a_during.png", "'during' is not a phase"),
        ("unmatched", "L1/thumbs/a_before.png", "does not match {lot}/{board}_{phase}.*"),
    ]


def test_one_folder_per_board_and_stars_and_repeated_names_are_patterns_too(write: Write) -> None:
    text = HEAD + "pattern: 'in/{board}/*_{board}_{phase}.png'\n"
    found = scanned(write, text, "in/b.1/cam_b.1_before.png", "in/b.1/x_b.1_after.png", "in/b2/cam_b1_before.png")
    assert rows(found) == [("unmatched", ""), ("matched", "b.1")]
    text = HEAD + "root: in\npattern: '{board}/{phase}.*'\n"
    found = scanned(write, text, "in/[x] (1)/before.png", "in/[x] (1)/after.tiff")
    assert ("matched", "[x] (1)") in rows(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "lot.yaml:1:1 the photographs are not named | write"),
        (HEAD + "pattern: '{board}_{phase}.*'\nmanifest: m.csv\n", "5:1 give a pattern or a manifest, not both"),
        ("schema: 1\nlot: L1\npattern: '{board}_{phase}.*'\n", "1:1 'board_type' is missing"),
        (HEAD + "pattern: '{bord}_{phase}.*'\n", "4:10 {bord} has no meaning here | known: {lot}, {board}, {phase}, *"),
        (HEAD + "pattern: '{board}.*'\n", "4:10 the pattern has no {phase}"),
        (HEAD + "pattern: '{board}{phase}.*'\n", "4:10 two placeholders touch"),
        (HEAD + "pattern: '/x/{board}_{phase}.*'\n", "4:10 the pattern starts at 'root'"),
        (HEAD + "pattern: '{board}_{phase'\n", "4:10 { has no meaning here"),
        (HEAD + "pattern: 'x'\nphases: {before: [x], after: [X]}\n", "5:31 'X' would mean both phases"),
        (HEAD.replace("L1", "0012"), "2:6 0012 is another number to some readers | quote it: '0012'"),
        (HEAD.replace("L1", "12"), "2:6 lot: must be text, not 12 | quote it: '12'"),
    ],
)
def test_a_mistake_in_the_lot_is_shown(write: Write, text: str, said: str, shown: Shown) -> None:
    write("lot.yaml", text)
    found = shown(lambda: load_lot("lot.yaml"))
    assert any(said in f for f in found), found


def test_a_folder_that_does_not_exist_is_shown_where_it_is_named(write: Write, shown: Shown) -> None:
    write("lot.yaml", PATTERN)
    lot = load_lot("lot.yaml")
    (said,) = shown(lambda: scan(lot))
    assert said.startswith("lot.yaml:4:7 the folder ")


MANIFEST = HEAD + "manifest: lists/m.csv\n"


def test_a_manifest_keeps_ids_as_they_are_written(write: Write) -> None:
    ids = ["001", "1", "NA", "null", "=1+1", "with, comma", 'quo"te', " spaced "]
    lines = ["\ufeffboard,phase,path,sha256"]
    for index, board in enumerate(ids):
        quoted = '"' + board.replace('"', '""') + '"'
        lines += [
            f"{quoted},{p},{index}{p}.png,{DIGEST[:-1]}{index if p == 'before' else 9}" for p in ("before", "after")
        ]
    write("lists/m.csv", "\r\n".join(lines))
    found = scanned(write, MANIFEST, *(f"lists/{i}{p}.png" for i in range(len(ids)) for p in ("before", "after")))
    assert {b.board for b in found.boards} == set(ids)
    assert len(found.usable) == len(ids)
    assert found.boards[0].sha256_before is not None


def test_a_manifest_may_be_separated_by_semicolons_and_name_board_types(write: Write) -> None:
    write("m.csv", "board;phase;path;board_type\nx;vorher;a.png;\nx;AFTER;b.png;\ny;before;c.png;./t.yaml\n")
    text = "schema: 1\nlot: L1\nmanifest: m.csv\nroot: pics\nboard_type: demo\nphases: {before: [vorher]}\n"
    found = scanned(write, text, "pics/a.png", "pics/b.png", "pics/c.png")
    assert rows(found) == [("matched", "x"), ("unpaired", "y")]
    assert found.boards[0].board_type == "demo"
    assert found.boards[1].board_type.endswith("/t.yaml")


def test_manifest_rows_that_contradict_each_other_are_refused_board_by_board(write: Write) -> None:
    write(
        "lists/m.csv",
        "board,phase,path,sha256,board_type\n"
        "ok,before,1.png,,\nok,after,2.png,,\n"
        "twice,before,3.png,,\ntwice,before,3.png,,\ntwice,after,4.png,,\n"
        "two,before,5.png,,\ntwo,before,6.png,,\ntwo,after,7.png,,\n"
        f"same,before,8.png,{DIGEST},\nsame,after,9.png,{DIGEST.upper()},\n"
        "shared1,before,10.png,,\nshared1,after,11.png,,\nshared2,before,10.png,,\nshared2,after,12.png,,\n"
        "types,before,13.png,,a\ntypes,after,14.png,,b\n"
        "gone,before,15.png,,\ngone,after,16.png,,\n",
    )
    found = scanned(write, MANIFEST, *(f"lists/{i}.png" for i in range(1, 16)))
    assert {b.board: b.problem and b.problem.reason for b in found.boards} == {
        "ok": None,
        "twice": "duplicate",
        "two": "ambiguous",
        "same": "duplicate",
        "shared1": "duplicate",
        "shared2": "duplicate",
        "types": "ambiguous",
        "gone": "missing_file",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("board,phase,file\n", ["1:13 unknown column 'file'", "1:1 there is no column path"]),
        ("board,phase,pth,path\n", ["1:13 unknown column 'pth' | did you mean 'path'?"]),
        ("board,phase,path,board\n", ["1:18 the column 'board' is given twice"]),
        ("", ["1:1 there is no column board, phase, path"]),
        (
            'board,phase,path,sha256\n"a\nb",before,x.png,\nb,befor,y.png,\nc,after,,\nd,after,z.png,12\ne,after\n',
            [
                "4:1 'befor' is not a phase | did you mean 'before'?",
                "5:1 'path' is empty",
                "6:1 sha256 must be 64 hexadecimal digits",
                "7:1 has 2 cells, the header has 4",
            ],
        ),
        ('board,phase,path\na,before,"x\n', ["2:1 is not CSV here: unexpected end of data"]),
    ],
)
def test_a_mistake_in_a_manifest_has_its_line(write: Write, text: str, said: list[str], shown: Shown) -> None:
    write("lists/m.csv", text)
    write("lot.yaml", MANIFEST)
    lot = load_lot("lot.yaml")
    found = sorted(shown(lambda: scan(lot)))
    for line, wanted in zip(found, sorted(said), strict=True):
        assert f"m.csv:{wanted}" in line


def test_a_manifest_that_is_missing_or_gives_no_board_type_is_named(write: Write, shown: Shown) -> None:
    write("lot.yaml", MANIFEST)
    lot = load_lot("lot.yaml")
    assert shown(lambda: scan(lot))[0].startswith("lot.yaml:4:11 ")
    write("lists/m.csv", "board,phase,path\na,before,x.png\n")
    write("lot.yaml", MANIFEST.replace("board_type: demo\n", ""))
    with pytest.raises(ConfigError, match=r"m\.csv:2:1: no board type is given"):
        scan(load_lot("lot.yaml"))


def test_a_lot_survives_the_round_trip_and_forgets_folders_in_its_identity(write: Write) -> None:
    write("lot.yaml", PATTERN)
    lot = load_lot("lot.yaml")
    write("deep/again.yaml", to_yaml(lot))
    assert load_lot("deep/again.yaml") == lot
    assert lot.identity() == Lot(lot="L1", board_type="demo", pattern=lot.pattern).identity()
