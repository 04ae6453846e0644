"""The commented file that ``residue new board`` writes."""

from __future__ import annotations

from residue_batch.config.board_type import Detection, Gates
from residue_batch.config.dump import quoted

_BOARD = """\
# A board type says what one kind of board looks like and where things are on it.
# This file can be used as it stands. Work through it from the top, and after each
# change let the program draw what it understood:
#
#     residue check {file}
#     residue try {file} before.jpg after.jpg
#
schema: 1
board_type: {name}
description: ''

# 1. THE FRAME -- the photograph that all coordinates below refer to.
# Any sharp photograph of this board type will do, clean or not; the shots are
# aligned to it. Without one, coordinates must be shares of the picture.
#frame: frame.jpg

# 2. THE CLEAN COLOUR -- residue is what differs from the clean board.
#   golden  a photograph of a clean board; best by far
#   lot     all shots of the lot together, before and after. Good, and needs no
#           clean board, but film that is on every shot cannot be seen. Needs
#           the frame above, and at least three boards
#   pair    only the two shots themselves: a hint, because what is in both
#           shots cannot be seen
# If you have a clean board: write 'reference: golden' and the line below it.
reference: pair
#golden: clean.jpg

# If your lamps are uneven or stand close: photograph an even white card where the
# boards lie, and name it. It is divided out of all shots, the golden one too.
#flat_field: card.jpg

# 3. THE SCALE -- needed only if you want to write millimetres.
# Measure something long: its length in um divided by its length in pixels.
#pixel_size_um: 25

# 4. THE OUTLINE -- where the board is. What lies outside is never measured.
# 'units: fraction' counts from 0 to 1, from the left and from the top.
# With a frame you may use 'px' instead, and read positions off any viewer.
units: fraction
outline:
  polygon: [[0.05, 0.05], [0.95, 0.05], [0.95, 0.95], [0.05, 0.95]]

# 5. THE WHITE PATCH -- a label or other white area that belongs to the board.
# It tells the program how white "white" is in this light. A box is
# [left, top, width, height].
#white: {{box: [0.40, 0.10, 0.08, 0.04]}}

# 6. WHAT TO IGNORE -- white ink, labels, anything that changes for other reasons.
ignore: []
#ignore:
#  - {{name: label, box: [0.40, 0.10, 0.08, 0.04]}}
#  - {{name: logo, polygon: [[0.7, 0.8], [0.9, 0.8], [0.8, 0.9]]}}

# 7. REGIONS -- areas you want numbers for, beside the whole board.
# Draw them, or let them be made from one another. Lengths and areas carry a
# unit: '5 px', '0.2 mm', '200 px2', '0.5 mm2', '15 %'.
regions: {{}}
#regions:
#  connector: {{box: [0.10, 0.60, 0.25, 0.20]}}
#  # six bright metal elements, found on the frame; five or seven are an error
#  elements: {{found: {{what: bright_metal, expect: 6, area: [200 px2, 5000 px2]}}}}
#  # the elements and 2 mm around each of them ('ring: true' leaves them out)
#  joints: {{near: elements, grow: 2 mm}}
#  # the lowest 15 % of each element
#  bars: {{part: {{of: elements, bottom: 15 %}}}}

# 8. GATES -- when there shall be no number, because it could not be trusted.
# These are the defaults; the report tells which one a board has failed.
gates:
  min_correlation: {min_correlation}     # how alike the shot and the frame must be
  min_inliers: {min_inliers}          # features that agree on the position
  max_residual_px: {max_residual_px}     # how well they agree, in pixels
  scale: {scale}       # size of the shot against the frame
  max_rotation_deg: {max_rotation_deg}
  max_perspective: {max_perspective}     # a tilted camera
  max_blur_px: {max_blur_px}          # blurrier than the frame
  max_saturated_pct: {max_saturated_pct}   # burnt out
  gain: {gain}       # least and most light against the reference
  max_light_residual: {max_light_residual}  # what is left when the light is matched
  min_light_share: {min_light_share}     # share of the board that the match rests on
  refuse_copies: {refuse_copies}      # before and after may not be one photograph, saved twice
  max_increase_pct: {max_increase_pct}    # more, and before and after are taken for exchanged
  min_observable_pct: {min_observable_pct} # share of the board both shots must show

# 9. DETECTION -- which loads are too small to speak of (1 is a board covered in
# white). Photograph clean boards twice to learn yours; these are defaults for
# hand-held shots.
detection:
  lob: {lob}   # limit of blank: what clean boards read at most
  lod: {lod}    # limit of detection: less before cleaning gives no reduction
"""


def new_board(name: str) -> str:
    """A commented board type, to be filled in from the top; it loads as it stands."""
    limits = {
        k: list(v) if isinstance(v, tuple) else str(v).lower() if isinstance(v, bool) else v
        for k, v in (Gates().model_dump() | Detection().model_dump()).items()
    }
    file = f"configs/boards/{name}.yaml"
    return _BOARD.format(name=quoted(name), file=file, **limits)
