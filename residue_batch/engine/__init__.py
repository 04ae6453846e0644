"""How plans are run: in this process, as one Dask task per board, or as a graph per board."""
