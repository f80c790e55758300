"""Catalogs of Iceberg tables: what is in them, where a table's metadata is, and how a new or newer table is made known, all at once or not at all."""
