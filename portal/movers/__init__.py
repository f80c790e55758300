"""Processes × threads that move objects between two ends. The parent's side is `pool`; a child is `process` and imports nothing heavy."""
