"""CSV and its kin: dialects, whole records, and rows under a frozen schema."""
