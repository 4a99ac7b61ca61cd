"""What runs on a host: one Python process a run, standard library only.

The controller sends this package as a zip over standard input and then speaks JSON lines with it (`session.py`). It runs on
whatever `python3` the host has (3.10 or newer), as the deploy user, and is kept as `agent/current.pyz` for the host's own timer.
"""
