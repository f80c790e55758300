"""Figures for Prometheus: of the queue as it is, and totals of finished jobs from the archive."""
