"""From a shot to the board frame: registration, resampling, light, clean reference.

numpy in, numpy out. Everything that is evaluated per tile gives the same bits
whatever the tiling.
"""
