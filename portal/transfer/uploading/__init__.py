"""Bringing local files to a store: what their keys are made of, and what follows once each is there."""
