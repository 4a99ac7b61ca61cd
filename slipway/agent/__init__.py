"""What runs on a host: one Python process a run, standard library only.

The controller starts `boot.py`, sends this package as a zip where the host does not keep it yet (`archive.py`), and then speaks
JSON lines with it (`session.py`). It runs on whatever `python3` the host has (3.10 or newer), as the deploy user, and is kept as
`agent/current.pyz` for the host's own timers. Each session imports it, so it imports what few need where that is needed.
"""
