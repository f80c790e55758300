"""JSON arrays, sequences and NDJSON: whole records, their types, and rows under a frozen schema."""
