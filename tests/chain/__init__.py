"""The whole chain under fire: files dropped → uploaded → announced → fetched, while whoever works on it is killed at random.

`drops` makes the files, `killer` kills, `accounts` tells what is wrong in the end, `chain` is the whole; `python -m tests.chain` a long one.
"""
