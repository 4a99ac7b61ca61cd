"""The lab: throw-away hosts and a registry on this machine."""

from __future__ import annotations

from invoke import Collection, Context

from slipway.tasks import agreed, environment, out, task


@task("env", "yes", cluster="start a cluster with kind instead, and a registry; print what they are called")
def up(c: Context, env: str = "", cluster: bool = False, yes: bool = False) -> None:
    """Start a lab's hosts, bare as if they were rented, and its registry.

    Prints for each host how to log in. `inv deploy` starts the lab by itself.
    """
    if cluster:
        from slipway.lab import kind

        out(f"context: {kind.up()}")
        out(f"registry: {kind.registry()}")
        return
    from slipway.target.compose import workplace

    place = workplace.find(environment(c, env), None, yes=agreed(yes))
    assert place  # noqa: S101 - it was started
    key, known = place.access.key_file, place.access.known_hosts
    for host in place.env.hosts:
        out(f"{host.name}  ssh -i {key} -o UserKnownHostsFile={known} {host.admin}@{host.address}")


@task("env", data="remove its backups, too", cluster="remove kind's cluster instead")
def down(c: Context, env: str = "", data: bool = False, cluster: bool = False) -> None:
    """Remove a lab: its hosts, their data, its registry. Its backups stay, for the next lab of that name."""
    if cluster:
        from slipway.lab import kind

        out("the cluster is gone" if kind.down() else "there is no cluster of kind's")
        return
    from slipway.lab import lab

    name = environment(c, env)
    there = lab.state(name) is not None
    backups = lab.down(name, data=data)
    if there or not (backups and data):
        out(f"the lab {name} is gone" if there else f"there is no lab {name}")
    if backups and data:
        out(f"the backups of {name} are gone")
    elif backups:
        out(f"the backups of {name} are still here: inv restore brings them back, inv lab.down --data removes them")


collection = Collection("lab", up, down)
