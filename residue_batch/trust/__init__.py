"""Before a night: what a clean board reads, an uncleaned one twice, and a board of known residue.

    blanks     clean boards, shot twice             -> limits of blank and of detection
    nullcheck  an uncleaned board, shot twice       -> must read 0
    selftest   known residue planted on clean shots -> error, and coverage of the intervals

Each of them measures through ``api.run``, as the night does.
"""

from residue_batch.trust.detection import Blanks, blanks
from residue_batch.trust.planted import Planted, SelfTest, selftest
from residue_batch.trust.repeated import NullCheck, Repeat, nullcheck

__all__ = ["Blanks", "NullCheck", "Planted", "Repeat", "SelfTest", "blanks", "nullcheck", "selftest"]
