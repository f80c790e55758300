"""Warm starts: processes that wait for one job with the imports done. Linux."""
