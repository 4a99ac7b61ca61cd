"""Entry: `python3 current.pyz` serves a controller; `python3 current.pyz reap` tidies up (the host's timer)."""

import sys

if __name__ == "__main__":
    if sys.argv[1:] == ["reap"]:
        from slipway.agent.reap import reap_all

        reap_all()
    else:
        from slipway.agent.session import Session

        Session().serve()
