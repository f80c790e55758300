"""Our migration of Iceberg tables beside Spark's own way: `make bench-lake`."""
