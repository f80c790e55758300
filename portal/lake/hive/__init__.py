"""What a Hive Metastore tells of its tables, as values; nothing here changes anything in one."""
