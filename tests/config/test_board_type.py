"""A board type says where things are, and is checked as far as it can be without a photograph."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from residue_batch.config import BoardType, Gates, Workflow, canonical, json_schema, load_board_type, new_board, to_yaml
from residue_batch.config import yaml as strict
from residue_batch.config.board_type import Near, Part, Rectangle
from residue_batch.config.load import absolute
from residue_batch.config.problems import build

Write = Callable[..., Path]
Shown = Callable[[Callable[[], object]], list[str]]

HEAD = "schema: 1\nboard_type: b\nreference: pair\nframe: f.png\n"
RICH = HEAD + (
    "pixel_size_um: 25\n"
    "outline: {polygon: [[0, 0], [100, 0], [100, 80]]}\n"
    "white: {box: [10, 10, 5, 5]}\n"
    "ignore: [{name: label, box: [1, 2, 3, 4]}, {near: metal, grow: 0.2 mm}]\n"
    "regions:\n"
    "  bars: {part: {of: metal, bottom: 15 %}}\n"
    "  metal: {found: {what: bright_metal, expect: 6, area: [0.1 mm2, 900 px2], within: field}}\n"
    "  field: {box: [5, 5, 50, 50]}\n"
    "  joints: {near: metal, grow: 2 mm, ring: true}\n"
)


def test_every_kind_of_area_is_read(write: Write) -> None:
    write("b.yaml", RICH)
    board_type = load_board_type("b.yaml")
    assert board_type.region_names == ("whole", "bars", "metal", "field", "joints")
    near, part = board_type.regions["joints"], board_type.regions["bars"]
    assert isinstance(near, Near)
    assert isinstance(part, Part)
    assert (near.grow, near.ring) == ("2 mm", True)
    assert part.part.side == ("bottom", "15 %")
    assert part.part.keep(100) == 15
    assert board_type.ignore[0].name == "label"
    assert board_type.gates.scale == (0.8, 1.25)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "regions: {whole: {box: [1, 2, 3, 4]}}",
            "1:11 'whole' is built in: everything inside the outline | rename it",
        ),
        ("regions: {a: {near: b, grow: 2 px}, b: {near: a, grow: 2 px}}", "1:11 regions made from each other: a -> b"),
        ("regions: {a: {near: a, grow: 2 px}}", "1:11 regions made from each other: a -> a"),
        ("regions: {metal: {box: [1, 2, 3, 4]}, a: {part: {of: metl, top: 1 px}}}", "1:54 there is no region 'metl'"),
        ("ignore: [{near: nothing, grow: 2 px}]", "1:17 there is no region 'nothing'"),
        ("regions: {a: {part: {of: whole}}}", "1:15 a part has exactly one of top, bottom, left, right, not 0"),
        ("regions: {a: {part: {of: whole, top: 1 px, left: 2 px}}}", "1:15 a part has exactly one of"),
        ("regions: {a: {part: {of: whole, top: 120 %}}}", "1:38 top: 120 % is more than the whole"),
        ("regions: {a: {part: {of: whole, top: 15}}}", "1:38 top: 15 has no unit: write 15 %"),
        ("regions: {a: {near: whole, grow: 2 mm}}", "1:34 '2 mm' needs pixel_size_um in the board type"),
        ("regions: {a: {part: {of: whole, top: 2 mm}}}", "1:38 '2 mm' needs pixel_size_um in the board type"),
        ("units: mm", "1:8 units: mm needs pixel_size_um"),
        ("outline: {box: [0.1, 0.1, 0.8, 0.8]}", "1:16 this box is smaller than a pixel | add 'units: fraction'"),
        ("outline: {box: [0, 0, 0, 8]}", "1:23 box: must be greater than 0, not 0"),
        ("outline: {polygon: [[0, 0], [9, 9]]}", "1:20 polygon: needs at least 3 entries, has 2"),
        ("outline: {polygon: [[0, 0], [9, 9, 9], [1, 2]]}", "1:29 polygon: takes at most 2 entries"),
        ("outline: {near: whole, grow: 2 px}", "1:10 outline: write a polygon or a box here"),
        ("outline: {box: [1, 2, 3, 4], polygon: [[1, 2], [3, 4], [5, 9]]}", "1:10 outline: write a polygon or a box"),
        ("regions: {a-b: {box: [1, 2, 3, 4]}}", "1:11 'a-b' is not a name: letters, digits and _ after a letter"),
        ("regions: {a: {bxo: [1, 2, 3, 4]}}", "exactly one of polygon, box, found, near, part | did you mean 'box'?"),
        ("golden: g.png", "1:1 golden is given, but reference is pair | write 'reference: golden'"),
        (
            "detection: {lob: 0.01}",
            "1:12 detection: the limit of blank 0.01 is above the limit of detection 0.001 | give both",
        ),
        ("gates: {scale: [2, 1]}", "1:16 the smallest scale comes first | write [1, 2]"),
        (
            "regions: {a: {found: {what: bright_metal, expect: 6, area: [9 px2, 4 px2]}}}",
            "1:60 the smallest area comes first | write [4 px2, 9 px2]",
        ),
        ("board_type: a/b", "a/b' cannot be a name"),
    ],
)
def test_each_mistake_has_its_own_words_and_place(write: Write, text: str, said: str, shown: Shown) -> None:
    head = HEAD.replace("board_type: b\n", "") if text.startswith("board_type") else HEAD
    write("b.yaml", text + "\n" + head)
    found = shown(lambda: load_board_type("b.yaml"))
    assert any(said in f for f in found), found
    assert len(found) == 1


def test_without_a_frame_only_fractions_mean_something(write: Write, shown: Shown) -> None:
    text = "schema: 1\nboard_type: b\nreference: pair\nunits: fraction\noutline: {box: [0.1, 0.1, 0.8, 0.8]}\n"
    write("b.yaml", text)
    assert load_board_type("b.yaml").frame_image is None
    write("b.yaml", text.replace("fraction", "px").replace("0.", "9"))
    assert "9 without a frame image" not in shown(lambda: load_board_type("b.yaml"))
    (said,) = shown(lambda: load_board_type("b.yaml"))
    assert said.startswith("b.yaml:5:11 without a frame image, geometry must be given in fractions")
    write("b.yaml", text.replace("0.8]", "1.8]"))
    assert "leaves 0..1" in shown(lambda: load_board_type("b.yaml"))[0]
    write("b.yaml", text + "regions: {m: {found: {what: bright_metal, expect: 1, area: [1 px2, 2 px2]}}}\n")
    assert "nothing to find elements on" in shown(lambda: load_board_type("b.yaml"))[0]
    write("b.yaml", text.replace("pair", "golden"))
    assert "needs a clean shot" in shown(lambda: load_board_type("b.yaml"))[0]


def test_a_model_made_in_python_is_checked_alike() -> None:
    box = Rectangle(box=(0, 0, 10, 10))
    made = BoardType(board_type="b", reference="pair", frame="f.png", regions={"a": box})
    assert made.schema_version == 1
    with pytest.raises(ValidationError, match="there is no region 'c'"):
        BoardType(board_type="b", reference="pair", frame="f.png", regions={"a": Near(near="c", grow="2 px")})
    with pytest.raises(ValidationError, match="frozen"):
        made.frame = "other"  # type: ignore[misc, unused-ignore]
    assert made.problem(("regions", "a"), "is odd").message == "regions.a: is odd"


def test_a_model_compares_hashes_and_travels_without_its_document(write: Write) -> None:
    write("b.yaml", RICH)
    one, two = load_board_type("b.yaml"), load_board_type("b.yaml", ("description=''",))
    assert one == two
    assert hash(one) == hash(two)
    assert one.document is not None
    sent = pickle.loads(pickle.dumps(one))  # noqa: S301
    assert sent == one
    assert hash(sent) == hash(one)
    assert sent.document is None
    assert len(pickle.dumps(one)) < 4000
    assert load_board_type("b.yaml", ("pixel_size_um=26",)) != one


def test_identity_forgets_file_names_only(write: Write) -> None:
    write("b.yaml", RICH)
    one = load_board_type("b.yaml")
    assert one.identity() == load_board_type("b.yaml", ("frame=other.png", "description=x")).identity()
    assert one.identity() != load_board_type("b.yaml", ("white.box.0=11",)).identity()
    assert canonical(one).startswith('{"any_profile":false,')


def test_the_written_yaml_loads_back_to_the_equal_model(write: Write) -> None:
    write("b.yaml", RICH)
    board_type = load_board_type("b.yaml")
    write("again.yaml", to_yaml(board_type))
    assert load_board_type("again.yaml") == board_type
    assert to_yaml(load_board_type("again.yaml")) == to_yaml(board_type)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda k: k not in {"of", "where", "step"}),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(-1e6, 1e6)
            | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=9)
            | st.sampled_from(["1e-3", "no", "010", "12:30", "2024-01-01", "~", "null", "", "#", "- a", "08", "y"]),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_parameter_survives_the_round_trip(params: dict[str, object]) -> None:
    flow = Workflow.model_validate(
        {"workflow": "w", "planes": {"p": {"step": "s", **params}}, "blur": "2 px", "limits": {"x": {"min": 1}}}
    )
    document = strict.parse(to_yaml(flow))
    again = build(Workflow, absolute(document, Workflow.paths))
    assert again == flow
    assert again.planes["p"].params == params
    assert canonical(again) == canonical(flow)


@pytest.mark.parametrize("name", ["demo", "010", "no", "with: colon", "µ-board"])
def test_the_template_loads_as_it_stands_and_fits_the_schema(write: Write, name: str) -> None:
    write("b.yaml", new_board(name))
    board_type = load_board_type("b.yaml")
    assert board_type.board_type == name
    assert board_type.gates == BoardType(board_type="x", reference="pair").gates
    assert board_type.detection == BoardType(board_type="x", reference="pair").detection
    validator = jsonschema.Draft202012Validator(json_schema("board_type"))
    validator.validate(yaml.safe_load(new_board(name)))
    validator.validate(yaml.safe_load(RICH))
    assert not validator.is_valid(yaml.safe_load(RICH.replace("grow: 2 mm", "grow: 2")))


def test_the_template_says_every_gate_and_its_default() -> None:
    shown = yaml.safe_load(new_board("demo"))["gates"]
    assert shown.keys() == Gates.model_fields.keys()
    assert Gates(**shown) == Gates()


def test_every_example_in_the_template_can_be_switched_on(write: Write) -> None:
    text = new_board("demo").replace("ignore: []\n", "").replace("regions: {}\n", "").replace("reference: pair\n", "")
    lines = [line[1:] if line.startswith("#") and line[1:2] not in {" ", ""} else line for line in text.splitlines()]
    lines = [line.removeprefix("#") if line.startswith(("#  - ", "#  ")) and ":" in line else line for line in lines]
    shown_text = "\n".join(lines).replace("golden: clean.jpg", "reference: golden\ngolden: clean.jpg")
    kept = [li for li in shown_text.splitlines() if not li.lstrip().startswith(("golden  a", "pair    only", "shots"))]
    write("b.yaml", "\n".join(kept))
    board_type = load_board_type("b.yaml")
    assert set(board_type.regions) == {"connector", "elements", "joints", "bars"}
    assert len(board_type.ignore) == 2
    assert board_type.white is not None
