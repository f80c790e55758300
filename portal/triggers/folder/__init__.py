"""A watched folder: files that are complete move out of it, into a folder of their own for each job, and then the job is submitted."""
