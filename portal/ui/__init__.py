"""The launcher's pages. They show, and they submit; nothing here moves data."""
