"""What a second executor of Spark is worth: copies and listings against servers that are far away, and against near ones."""
