"""The kernel for tests: built once if there is a compiler."""

from __future__ import annotations

import pytest

from portal.native import build, library

COMPILER = build.compiler()
needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no C++ compiler")


def built() -> None:
    """Build the kernel if need be, and forget that it was missing."""
    if COMPILER:
        build.build(COMPILER)
        library.forget()
        library.library()  # now: the tests take PORTAL_NATIVE_DIR away
