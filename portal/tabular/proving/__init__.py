"""Evidence that nothing was lost or changed: records counted apart, checksums of columns, the target read back."""
