"""Faults on purpose: a process watched by the kernel's tracer, killed or lied to at any of its system calls."""
