"""Parquet objects as sources: read through ranges, their values cast strictly where other types are asked for."""
