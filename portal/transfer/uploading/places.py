"""The places of an upload: which of them fit together. Asks nobody."""

from __future__ import annotations

from portal.stores.url import StoreURL


def refusal(source: StoreURL, target: StoreURL, after: str, done_folder: StoreURL | None) -> str:
    """Return why files cannot go from here to there, and then to `done_folder`; '' when they can."""
    if source.scheme != "file":
        return f"source is a folder or file of this machine (file:///…), not {source}; `migrate` copies between stores"
    if target.scheme == "file":
        return f"target is in S3 or ADLS, not {target}; `migrate` copies to folders"
    if after == "move" and not done_folder:
        return "after=move needs a done_folder"
    if done_folder and done_folder.scheme != "file":
        return f"done_folder is a folder of this machine (file:///…), not {done_folder}"
    return ""
