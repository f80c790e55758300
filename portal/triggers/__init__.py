"""Triggers: what makes jobs by itself. A schedule, a watched folder or an SQS queue becomes exactly one job per event."""
