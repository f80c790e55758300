"""Files under a frozen schema: Parquet, CSV, NDJSON; in parts by size or partition; published whole or not at all."""
