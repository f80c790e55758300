"""Notices: messages in a queue that say which objects have come. docs/notices.md describes them."""
