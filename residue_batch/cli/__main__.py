"""``python -m residue_batch.cli``: the command ``residue``."""

from residue_batch.cli import main

if __name__ == "__main__":
    main()
