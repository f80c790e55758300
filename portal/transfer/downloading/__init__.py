"""Downloading what notices tell of: messages of a queue become files, and are deleted when those are safe."""
