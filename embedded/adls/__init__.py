"""Azure Data Lake Storage Gen2 on this machine: dfs and blob endpoints over one hierarchical namespace on disk.

`python -m embedded.adls --port 0 --root DIR --account NAME=BASE64KEY` serves http://127.0.0.1:PORT/NAME.
Source of the behaviour: Microsoft's REST references for the Blob service and for Data Lake Storage Gen2.
"""
