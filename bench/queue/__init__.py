"""The queue, side by side with its peers: how fast, how safe, and what it costs. `python -m bench.queue [--quick]`."""
# ruff: noqa: A005 - it is a part of `bench`, and named for what it measures
