"""Engines of the benchmark alone."""
