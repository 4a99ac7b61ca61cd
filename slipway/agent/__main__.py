"""Entry: `python3 current.pyz` serves a controller; `reap`, `backup [STACK ...]` and `drill` are the timers' work.

In a pod of a cluster `hold` waits for a controller, `come` is one's session; `timer VERB` is a CronJob's work.
"""

import os
import sys

if __name__ == "__main__":
    if not os.environ.get("SLIPWAY_POD"):  # which speaks with its cluster
        sys.modules["ssl"] = None  # type: ignore[assignment] # as boot.py does
    if sys.argv[1:] == ["reap"]:
        from slipway.agent.reap import reap_all

        reap_all()
    elif sys.argv[1:2] == ["backup"]:
        from slipway.agent.data.backup import run_all

        sys.exit(run_all(sys.argv[2:]))
    elif sys.argv[1:] == ["drill"]:
        from slipway.agent.data import drill

        sys.exit(drill.run_all())
    elif sys.argv[1:2] in (["hold"], ["timer"]):
        from slipway.agent.data import timer

        sys.exit(timer.run(sys.argv[1:]))
    elif sys.argv[1:] == ["come"]:
        from slipway.agent.data import pod
        from slipway.agent.session import Session

        pod.come()
        print('{"event": "ready"}', flush=True)
        Session().serve()
    else:
        from slipway.agent.session import Session

        Session().serve()
