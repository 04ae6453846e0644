"""A board type: its frame, its clean colour, its geometry, and when it gives no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from residue_batch import units
from residue_batch.config import board_checks
from residue_batch.config.board_checks import SIDES, WHOLE
from residue_batch.config.model import (
    Configuration,
    Count,
    Flag,
    FlatField,
    Frozen,
    Length,
    Mistake,
    Name,
    Number,
    Surface,
    Title,
    canonical,
)

Point = tuple[Number, Number]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


class Polygon(Frozen):
    """A closed polygon; a pixel is inside when its centre is (even-odd)."""

    name: str | None = None
    polygon: Annotated[tuple[Point, ...], Field(min_length=3)]
    """Corners as [x, y]."""


class Rectangle(Frozen):
    """An upright rectangle."""

    name: str | None = None
    box: tuple[Number, Number, Positive, Positive]
    """[x, y, width, height]"""


class Search(Frozen):
    """How to find elements on the frame image."""

    what: Literal["bright_metal"]
    """Bright, grey, compact areas."""
    expect: Annotated[Count, Field(ge=1)]
    """How many there are; another count means no number."""
    area: tuple[Surface, Surface]
    """[smallest, largest] area of one element."""
    bright: Share = 0.6
    """At least this share of the brightest of the image (its 99.5th percentile)."""
    grey: Share = 0.25
    """At most this saturation, 1 - min(R, G, B) / max(R, G, B)."""
    close: Length = "2 px"
    """Cracks up to this width inside an element are closed."""
    within: str | None = None
    """Look in this region only; default inside the outline."""


class Found(Frozen):
    """Elements that are found on the frame image instead of being drawn."""

    name: str | None = None
    found: Search


class Near(Frozen):
    """Another region and what lies around it."""

    name: str | None = None
    near: str
    """The region."""
    grow: Length
    """How far, in every direction."""
    ring: Flag = False
    """Leave the region itself out."""


def _side(value: object) -> str:
    shared = not isinstance(value, str) or value.rstrip().endswith("%")
    quantity = units.parse(value, units.Fraction if shared else units.Pixels)
    if shared and quantity.value > 100:
        raise ValueError(f"{value} is more than the whole")
    return str(quantity)


Amount = Annotated[
    str,
    BeforeValidator(_side),
    WithJsonSchema({"anyOf": [units.json_schema(units.Fraction), units.json_schema(units.Pixels)]}),
]
"""A share of the piece (`15 %`) or a length (`2 mm`)."""


class Side(Frozen):
    """Which part: exactly one of the four sides."""

    of: str
    """The region; each connected piece of it is cut by itself."""
    top: Amount | None = None
    bottom: Amount | None = None
    left: Amount | None = None
    right: Amount | None = None

    @property
    def side(self) -> tuple[str, str]:
        """(side, how much of it)."""
        return next((s, str(v)) for s in SIDES if (v := getattr(self, s)) is not None)

    def keep(self, extent: int, pixel_size_um: float | None = None) -> float:
        """How many of the piece's ``extent`` rows or columns belong to the part."""
        amount = self.side[1]
        if amount.endswith("%"):
            return extent * units.resolve(amount, units.Fraction)
        return units.resolve(amount, units.Pixels, pixel_size_um)


class Part(Frozen):
    """One side of each piece of another region, by its bounding box."""

    name: str | None = None
    part: Side


KINDS: dict[str, type[Frozen]] = {"polygon": Polygon, "box": Rectangle, "found": Found, "near": Near, "part": Part}


def _kind_of(value: object) -> str | None:
    """The branch of an area; in brackets, because a bare one would look like a key of the YAML."""
    if isinstance(value, dict):
        given = [k for k in KINDS if k in value]
        return f"<{given[0]}>" if len(given) == 1 else None
    return next((f"<{k}>" for k, v in KINDS.items() if isinstance(value, v)), None)


Area = Annotated[
    Annotated[Polygon, Tag("<polygon>")]
    | Annotated[Rectangle, Tag("<box>")]
    | Annotated[Found, Tag("<found>")]
    | Annotated[Near, Tag("<near>")]
    | Annotated[Part, Tag("<part>")],
    Discriminator(
        _kind_of,
        custom_error_type="area_kind",
        custom_error_message="an area is exactly one of polygon, box, found, near, part",
    ),
]
Drawn = Annotated[
    Annotated[Polygon, Tag("<polygon>")] | Annotated[Rectangle, Tag("<box>")],
    Discriminator(
        _kind_of,
        custom_error_type="area_kind",
        custom_error_message="write a polygon or a box here",
    ),
]


class Gates(Frozen):
    """When a board has no number. A gate never judges a number: that is a limit."""

    min_correlation: Share = 0.5
    """Correlation of the registered shot with the frame image."""
    min_inliers: Annotated[Count, Field(ge=4)] = 30
    """Features that agree on one registration."""
    max_residual_px: Positive = 2.0
    """How far the agreeing features lie apart, in frame pixels (root mean square)."""
    scale: tuple[Positive, Positive] = (0.8, 1.25)
    """Smallest and largest size of the shot against the frame."""
    max_rotation_deg: Annotated[Number, Field(ge=0, le=180)] = 20.0
    """Larger rotations are taken for a wrong or turned board."""
    max_perspective: Annotated[Number, Field(ge=0)] = 0.15
    """How much the scale may change across the board (0.15 is 15 %): a tilted camera."""
    max_blur_px: Number = 2.0
    """How much blurrier than the frame a shot may be, as the sigma of a Gaussian in frame pixels."""
    max_saturated_pct: Annotated[Number, Field(ge=0, le=100)] = 10.0
    """Share of the board that may be burnt out where the reference is not white."""
    gain: tuple[Positive, Positive] = (0.45, 3.0)
    """Least and most light of a shot against the reference, in its strongest channel."""
    max_light_residual: Positive = 0.3
    """What the light match may leave, in log light."""
    min_light_share: Share = 0.4
    """Share of the sampled pixels that must follow the light match."""
    refuse_copies: Flag = True
    """Whether two files of one exposure are refused; without it only the very same file is."""
    max_increase_pct: Annotated[Number, Field(ge=0)] = 75.0
    """How much the load may increase before the phases are taken for exchanged."""
    min_observable_pct: Annotated[Number, Field(ge=0, le=100)] = 30.0
    """Share of the outline that both shots must show."""


class Detection(Frozen):
    """The smallest loads that mean something, as a share of full cover; the defaults suit hand-held photographs."""

    lob: Share = 5e-4
    """Limit of blank: 95 % of clean boards read less."""
    lod: Share = 1e-3
    """Limit of detection: below it before cleaning, a board has no reduction."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lob > self.lod:
            message = f"the limit of blank {self.lob:g} is above the limit of detection {self.lod:g}"
            raise ValueError(message, "give both")
        return self


class BoardType(Configuration):
    """What one kind of board looks like, and where things are on it."""

    file_kind: ClassVar[str] = "board_type"
    paths: ClassVar[tuple[str, ...]] = ("frame", "golden", "built", "flat_field")

    board_type: Title
    """The name of the board type."""
    frame: str | None = None
    """A sharp photograph whose pixels are the board frame; default the golden shot."""
    reference: Literal["golden", "lot", "pair", "none"]
    """Where the clean colour comes from: a clean shot, all shots of a lot, or only the two shots (indicative).
    `none`: from nowhere; a fixed camera, the shots are compared as taken, without registration and light match."""
    golden: str | None = None
    """A photograph of a clean board, for `reference: golden`."""
    built: str | None = None
    """For `reference: lot`: what `residue reference build` wrote; default each run builds one from its own lot."""
    flat_field: FlatField | None = None
    """A photograph of an even white card in the light of the shots, or one each for golden, before, after."""
    pixel_size_um: Annotated[Number, Field(ge=1e-3, le=1e6)] | None = None
    """The size of a frame pixel on the board; needed for millimetres."""
    tone: Literal["srgb", "linear"] | None = None
    """What 16-bit values mean; must be given for 16-bit shots."""
    any_profile: Flag = False
    """Read shots with another colour profile as if they were sRGB."""
    units: Literal["px", "mm", "fraction"] = "px"
    """The unit of polygons and boxes."""
    outline: Drawn | None = None
    """The board; default the whole frame."""
    white: Drawn | None = None
    """A white label or patch that belongs to the board: the scale of the opacity."""
    ignore: tuple[Area, ...] = ()
    """Areas that are never measured."""
    regions: dict[Name, Area] = Field(default_factory=dict, max_length=30)
    """Named areas that are measured by themselves, beside `whole`; at most 30."""
    gates: Gates = Gates()
    """When a board has no number."""
    detection: Detection = Detection()
    """The smallest loads that mean something."""

    @property
    def frame_image(self) -> str | None:
        """The file whose pixels are the board frame; None: each board's own before-shot."""
        return self.frame or self.golden

    @property
    def region_names(self) -> tuple[str, ...]:
        """All regions, `whole` first."""
        return (WHOLE, *self.regions)

    def identity(self) -> str:
        """Canonical text without file names: for keys, which hold the files' hashes instead."""
        return canonical(self.model_copy(update={**dict.fromkeys(self.paths), "description": ""}))

    @classmethod
    def mistakes(cls, data: Mapping[str, Any]) -> list[Mistake]:
        return board_checks.mistakes(data)
