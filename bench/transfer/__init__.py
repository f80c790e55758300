"""The mover, side by side with its peers: how fast, at what cost, with what proof. `python -m bench.transfer [--quick] [--only ROW]`."""
