"""The converter, side by side with DuckDB, polars, pyarrow and pandas: how fast, how much memory, how large, and whether the values are right."""

