"""Throw-away hosts and a registry on this machine, to do for real what will be done to production.

`engine` finds or installs a container engine, `images` pulls or builds what runs on it, `lab` starts and removes labs:

    from slipway.lab import engine, images, lab
    engine.ensure(yes=True)
    state = lab.up("local", hosts=1)        # idempotent
    images.publish(images.ensure("postgres:17"), state)
    lab.down("local")
"""
