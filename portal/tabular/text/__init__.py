"""A source object as UTF-8 text: opened from a store, unpacked, its encoding told with the evidence, read in order or in samples."""
