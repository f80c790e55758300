"""Notifications: telling people and their tools what became of a job, by webhook and e-mail."""
