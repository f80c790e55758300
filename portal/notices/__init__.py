"""Notices: that an object has arrived, passed on through SQS. What a message holds, how it is sent, and how it is read."""
