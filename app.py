"""The launcher: `streamlit run app.py`. It shows stores, jobs and audit, and submits jobs; it never moves data itself.

Streamlit takes this file twice. The server imports it and serves `app`; every visit of a page then runs it as a script.
"""

from __future__ import annotations

import streamlit as st

from portal import durable
from portal.ui import gate, shell

if __name__ == "__main__":
    shell.run()
else:
    durable.keep_from_others()
    app = st.App(__file__, routes=gate.routes(), middleware=gate.middleware(), on_script_error=shell.report)
