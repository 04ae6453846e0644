"""What the words of a report mean, in one plain sentence each."""

from __future__ import annotations

STATUS = {
    "measured": "Both photographs show enough, and there was enough residue before cleaning to speak of a reduction.",
    "refused": "There is no number for this board: a photograph or its match failed a gate of the board type.",
    "unseen": "None of this region can be seen in both photographs.",
    "before_below_lod": "Before cleaning there was less residue than can be detected, so there is nothing to reduce.",
    "increase": "There is more residue after cleaning than before; the negative reduction is kept and counted.",
    "after_below_lob": "After cleaning there is less than a clean board shows: the reduction is at least its bound.",
    "no_region": "This board type does not have the region.",
}

FLAGS = {
    "indicative": "The board's clean colour was guessed from its own two photographs: film that is in both cannot be "
    "seen, so read the reduction as an upper bound, good to 15 points at best.",
    "white_assumed": "No white patch is declared for the board type: loads have no fixed scale, reductions do.",
    "film_confounded": "Nothing in the photograph tells an even film from a different exposure: a board-wide haze "
    "may be missed.",
    "few_blocks": "The area is small (fewer than 20 squares of 256 px): the number may depend on a few spots.",
    "below_zero": "A load came out clearly below nothing: the light of a shot or its glare was not matched well here, "
    "so trust the change, not the level.",
    "tau_below_noise": "The opacity that counts as covered is less than three times the noise: the area counts noise.",
    "not_estimated": "No interval was estimated for this number: differences of a few points between boards may "
    "mean nothing.",
}

TERMS = {
    "load": "The mean opacity of white residue over every pixel that both photographs show: 0.10 is as much as a "
    "tenth of the area under full cover. Faint haze counts by how faint it is.",
    "reduction": "100 × (1 − after / before): the share of the load that cleaning removed. 100 is everything, "
    "0 is nothing, below 0 is more than before.",
    "pooled": "The reduction of the lot as if it were one large board: what is left on all boards over what was on "
    "all of them. Heavily covered boards weigh more. This is the number of the lot.",
    "median": "Half of the boards are better, half are worse.",
    "mean": "The plain average of the boards' reductions; lightly covered boards weigh as much as heavy ones.",
    "observable": "The share of the board that both photographs show without glare or white areas of the board itself.",
    "area": "The share of observable pixels above an opacity (tau). It changes with tau; compare only equal tau.",
    "refused": "Not a bad board but a missing number: do what the remedy says and run the same command again.",
}

VERDICT = {"pass": "meets its limits", "fail": "misses a limit", "not_judged": "not judged"}
