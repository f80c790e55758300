"""Columns: their types and names, what was seen in them, the decision, and casting texts to types without changing a value."""
