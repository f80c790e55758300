"""Iceberg's own files: reading them, choosing what of a table's history is meant, and writing them again for another place.

`walk` finds every file of a table, `rewrite` writes its metadata for the target, `comparing` holds both sides against each other through
pyiceberg. Format: https://iceberg.apache.org/spec/ and https://iceberg.apache.org/puffin-spec/
"""
