"""What the launcher, the worker and the engines share."""
