"""The base of every configuration model: frozen, strict, comparable, printable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from residue_batch import units
from residue_batch.config.document import Document, Key
from residue_batch.errors import Problem

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; text and true/false are refused."""

Count = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_TITLE = re.compile(r"[^\x00-\x1f/\\]*[^\x00-\x1f/\\\s]", re.ASCII)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"'{text}' is not a name: letters, digits and _ after a letter")
    return text


def _title(text: str) -> str:
    if not _TITLE.fullmatch(text) or text != text.strip():
        raise ValueError(f"'{text}' cannot be a name: it must not be empty, nor hold a slash or outer spaces")
    return text


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})]
"""A name that becomes a plane, a region or a variable."""

Title = Annotated[
    str, AfterValidator(_title), WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"^[^/\\]+$"})
]
"""A name that people give: a lot, a board type, a workflow."""


Length = Annotated[
    str,
    BeforeValidator(lambda v: str(units.parse(v, units.Pixels))),
    WithJsonSchema(units.json_schema(units.Pixels)),
]
"""A length with its unit, kept as text: ``2 mm``."""

Surface = Annotated[
    str,
    BeforeValidator(lambda v: str(units.parse(v, units.PixelArea))),
    WithJsonSchema(units.json_schema(units.PixelArea)),
]
"""An area with its unit, kept as text: ``0.5 mm2``."""


def as_tuple(value: object) -> object:
    """``x`` is short for ``[x]``."""
    return [value] if isinstance(value, str) else value


class Mistake(NamedTuple):
    """Something wrong with values that are each right by themselves."""

    path: Key
    message: str
    remedy: str = ""
    at: Literal["value", "key"] = "value"


class Frozen(BaseModel):
    """A part of a configuration: read-only, no unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        validate_default=False,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Frozen)
        return self.__dict__ == other.__dict__ and self.model_extra == other.model_extra

    def __hash__(self) -> int:
        return hash((type(self).__name__, canonical(self)))


class ShotCards(Frozen):
    """A photograph of an even white card for each phase."""

    before: str | None = None
    """For the shots before cleaning."""
    after: str | None = None
    """For the shots after cleaning."""


class Cards(ShotCards):
    """A photograph of an even white card for each kind of shot that has its own light."""

    golden: str | None = None
    """For the golden shot."""


def _card_kind(value: object) -> str | None:
    """The branch of a flat field; in brackets, because a bare one would look like a key of the YAML."""
    if isinstance(value, dict | ShotCards):
        return "<files>"
    return "<file>" if isinstance(value, str) else None


_ONE_OR_EACH = Discriminator(
    _card_kind,
    custom_error_type="flat_field_kind",
    custom_error_message="a flat field is a photograph, or one for each kind of shot",
)
_CardFile = Annotated[str, Field(min_length=1), Tag("<file>")]
FlatField = Annotated[_CardFile | Annotated[Cards, Tag("<files>")], _ONE_OR_EACH]
"""One card for all photographs of a board type, or one for each kind."""
LotFlatField = Annotated[_CardFile | Annotated[ShotCards, Tag("<files>")], _ONE_OR_EACH]
"""One card for all shots of a lot, or one for each phase."""


class Configuration(Frozen):
    """One YAML file. It remembers its document, so that later checks can point at lines.

    The document takes no part in comparing, hashing and pickling: a worker
    gets the values only.
    """

    file_kind: ClassVar[str]
    paths: ClassVar[tuple[str, ...]] = ()
    """Keys whose value is a file name, relative to the file it stands in."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """The version of this format: 1."""

    description: str = ""
    """What this is for, in a sentence."""

    _document: Document | None = PrivateAttr(default=None)

    @classmethod
    def mistakes(cls, data: Mapping[str, Any]) -> list[Mistake]:  # noqa: ARG003 (for subclasses)
        """What is wrong across several keys; ``data`` may be incomplete or ill-typed."""
        return []

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        # the loader asks for mistakes itself, to give each its own line
        if not (info.context and info.context.get("loading")):
            found = self.mistakes(self.model_dump(mode="json", by_alias=True))
            if found:
                raise ValueError("; ".join(f"{'.'.join(map(str, m.path))}: {m.message}" for m in found))
        return self

    @property
    def document(self) -> Document | None:
        """The YAML this came from; None for a model made in Python or sent to a worker."""
        return self._document

    def problem(self, path: Key, message: str, remedy: str = "", at: Literal["value", "key"] = "value") -> Problem:
        """A problem at ``path``, with its line where the document is known."""
        if self._document is None:
            where = ".".join(map(str, path))
            return Problem(f"{where}: {message}" if where else message, remedy=remedy)
        return self._document.problem(path, message, remedy, at)

    def with_document(self, document: Document) -> Self:
        """Attach the document this was read from."""
        self._document = document
        return self

    def __getstate__(self) -> dict[Any, Any]:
        state = dict(super().__getstate__())
        state["__pydantic_private__"] = {"_document": None}
        return state


def plain(model: BaseModel) -> dict[str, Any]:
    """The model as maps, lists, text and numbers, defaults included."""
    return model.model_dump(mode="json", by_alias=True)


def canonical(model: BaseModel) -> str:
    """The one text of this configuration, for hashing: sorted, compact, ASCII JSON."""
    return json.dumps(plain(model), sort_keys=True, separators=(",", ":"), allow_nan=False)
