"""Listing one container from many places at the same time: its names are cut into parts, and what comes out is as if one had listed it all."""
