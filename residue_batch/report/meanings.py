"""What the words of a report mean, in one plain sentence each."""

from __future__ import annotations

STATUS = {
    "measured": "Both photographs show enough, and there was enough residue before cleaning to speak of a reduction.",
    "refused": "There is no number for this board: a photograph or its match failed a gate of the board type.",
    "unseen": "None of this region can be seen in both photographs.",
    "before_below_lod": "Before cleaning there was less residue than can be detected, so there is nothing to reduce.",
    "increase": "There is more residue after cleaning than before, beyond the error of measurement; the negative "
    "reduction is kept and counted. Without a clean reference it is known as a difference only, not in per cent.",
    "after_below_lob": "After cleaning there is less than a clean board shows: the reduction is at least its bound. "
    "Percentiles of the lot take it as that.",
    "no_region": "This board type does not have the region.",
}

FLAGS = {
    "indicative": "The board's clean colour was guessed from its own two photographs: film that is in both cannot be "
    "seen, so read the reduction as an upper bound, good to 15 points at best.",
    "white_assumed": "No white patch is declared for the board type: loads have no fixed scale, reductions do.",
    "film_confounded": "An even film cannot be told from a different exposure: the places of the board are too alike "
    "in brightness, or no white patch holds the light (clipped, covered, none). A board-wide haze may be missed.",
    "few_blocks": "The area is small (fewer than 20 squares of 256 px): the number may depend on a few spots, and "
    "the sampling interval is too narrow.",
    "below_zero": "A load came out clearly below nothing: the light of a shot or its glare was not matched well here, "
    "so trust the change, not the level.",
    "tau_below_noise": "The opacity that counts as covered is less than three times the noise: the area counts noise.",
    "phases_may_be_exchanged": "By the camera's clock the after-shot was taken first; or there is more residue after "
    "cleaning and no clock that says which shot came first: somebody should look at the two photographs.",
    "not_estimated": "No interval was estimated for this number: differences of a few points between boards may "
    "mean nothing.",
}

TERMS = {
    "load": "The mean opacity of white residue over every pixel that both photographs show: 0.10 is as much as a "
    "tenth of the area under full cover. Faint haze counts by how faint it is.",
    "reduction": "100 × (1 − after / before): the share of the load that cleaning removed. 100 is everything, "
    "0 is nothing, below 0 is more than before.",
    "pooled": "The reduction of the lot as if it were one large board: what is left on all boards that have a "
    "reduction over what was on all of them. Heavily covered boards weigh more. This is the number of the lot.",
    "interval": "How well this number was measured: of 100 such intervals 95 hold the true one. Light, registration "
    "and noise, highlights on metal, the colour of residue and hidden area make it wide; a share is of its variance.",
    "median": "Half of the boards are better, half are worse.",
    "mean": "The plain average of the boards' reductions; lightly covered boards weigh as much as heavy ones.",
    "observable": "The share of the board that both photographs show without glare or white areas of the board itself.",
    "area": "The share of observable pixels above an opacity (tau). It changes with tau; compare only equal tau.",
    "refused": "Not a bad board but a missing number: do what the remedy says and run the same command again.",
}

VERDICT = {"pass": "meets its limits", "fail": "misses a limit", "not_judged": "not judged"}

REASONS: dict[str, tuple[str, str]] = {
    # what the scan of a lot finds
    "unpaired": (
        "One of the two shots is not there.",
        "Add the shot; a misspelt file name shows in `residue lot scan`.",
    ),
    "ambiguous": (
        "Two different files claim to be the same shot, or its rows name different board types.",
        "Keep the one that counts.",
    ),
    "duplicate": (
        "One file is listed for two boards or phases, or a shot is listed twice.",
        "Each photograph belongs to one board and one phase: correct the manifest.",
    ),
    "missing_file": ("The manifest names a file that does not exist.", "Correct the path, or copy the photograph."),
    # what reading a photograph finds
    "unreadable": ("The file is missing, empty, cut off or damaged.", "Copy it again from the camera."),
    "not_a_photograph": ("No image, a one-bit drawing, or nothing opaque in it.", "Export it as JPEG, PNG or TIFF."),
    "too_large": ("More pixels or bytes than can be right.", "Check what this file is; crop it to the board."),
    "hash_mismatch": (
        "The file is not the one whose sha256 the manifest promises.",
        "Find out which is right; copy the file again, or renew the manifest.",
    ),
    "needs_tone": ("16-bit values, and nobody said how they are coded.", "Write `tone: srgb` or `tone: linear`."),
    "colour_profile": (
        "The file carries a colour profile other than sRGB.",
        "Convert it, or write `any_profile: true` if all shots of the type share it.",
    ),
    "unsupported": (
        "A photograph of a kind that is not read here: CMYK, camera raw, HEIC, 12-bit JPEG, an animation.",
        "Export it as an 8-bit sRGB JPEG, PNG or TIFF.",
    ),
    "colour": ("One photograph is grey and the other in colour.", "Photograph everything alike."),
    "same_photo": (
        "Before and after are one photograph: the same file, or saved again, cut, resized or brightened.",
        "Give the shot taken after cleaning; for two shots of an unmoved board, `refuse_copies: false`.",
    ),
    "swapped": (
        "There is far more residue after cleaning than before (`max_increase_pct`), or more by the camera's own clock.",
        "Check the file names of the two phases; if it is true, raise the gate.",
    ),
    # what matching finds
    "registration": (
        "The shot cannot be laid over the board frame within the gates, or there is nothing to be seen in it.",
        "Check that it shows this board type, whole and sharp.",
    ),
    "other_board": (
        "The shot is sharp and well exposed, but its features do not agree with the frame's: another board type.",
        "Check that the photograph belongs to this board.",
    ),
    "mirrored": ("The shot shows the mirror image of the board.", "Flip the file; check the scanner or camera."),
    "out_of_focus": (
        "The shot is blurrier than the frame by more than `max_blur_px`: blur looks like film.",
        "Focus on the board, hold the camera still; or widen the gate.",
    ),
    "over_exposed": (
        "More than `max_saturated_pct` of the board is burnt out, or the shot is brighter than `gain` allows.",
        "Expose less; keep lamps and their mirror images off the board.",
    ),
    "under_exposed": (
        "The shot is darker against the reference than `gain` allows, or nearly black.",
        "Expose longer; or widen the gate.",
    ),
    "tilted": (
        "The scale changes across the board by more than `max_perspective`.",
        "Hold the camera square to the board; or widen the gate.",
    ),
    "resolution": (
        "The shot has another number of pixels than the frame, and the board another size by as much.",
        "Photograph all shots and the frame with one resolution; or widen `scale`.",
    ),
    "rotated": (
        "The board is turned by more than `max_rotation_deg`.",
        "Photograph it upright, turn the file, or widen the gate.",
    ),
    "scale": ("The board is too large or too small in the shot.", "Same distance; or widen `scale`."),
    "light": (
        "The light of the shot cannot be matched within `max_light_residual` and `min_light_share`.",
        "Check exposure and lamps, and the outline of the board type.",
    ),
    "flat_field": (
        "The photograph of the card shows no even card, or a shot has another size than its card.",
        "Photograph an even white card that fills the picture, with the camera and lamps of the boards.",
    ),
    "low_observable": (
        "Too little of the outline can be seen in both shots.",
        "Reduce glare, photograph the whole board; check `ignore` and the white patch.",
    ),
    # what a board type finds on its own frame
    "elements": (
        "Another number of elements was found on the frame than `expect` says.",
        "Check the frame; change `area`, `bright`, `grey`, `close` or `within`.",
    ),
    "outside": (
        "A photograph that sets the light does not show the whole outline.",
        "Photograph the whole board.",
    ),
    # what building a reference from the lot finds
    "lot_reference": (
        "No clean reference could be built from the lot: too few usable shots, or they disagree.",
        "Photograph more boards, or give a clean shot: `reference: golden`.",
    ),
    "reference": (
        "The reference that was built is not whole, or belongs to another frame.",
        "Build it again with `residue reference build`.",
    ),
    # what has nothing to do with the board
    "worker_lost": (
        "The workers that measured it died. It is not kept in the records.",
        "Run the same command again; give workers more memory.",
    ),
    "internal_error": (
        "A bug. It is not kept in the records.",
        "Report it with `run.jsonl`, which holds the traceback.",
    ),
}
"""Why a board has no number: what it means, and what to do."""
