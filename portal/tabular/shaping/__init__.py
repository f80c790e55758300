"""What is done to rows between reading and writing: rows chosen by an expression, columns chosen, renamed, added, cast."""
