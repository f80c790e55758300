"""Copying objects from one store to another, as the engine `migrate` does it: what it is told, and what it tells in the end."""
