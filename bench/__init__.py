"""Side-by-side benchmarks: the same statements through two libraries in one process, as ratios.

`python -m bench` prints the tables; see `bench/__main__.py` for the options and `bench/budget.toml` for the ratios
that continuous integration holds.
"""
