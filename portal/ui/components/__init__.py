"""Three small page components of our own: rows are known by id, never by position, and text is only ever set as text."""
