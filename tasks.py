"""The namespace: what `inv --list` shows, and nothing else."""

from invoke import Collection

from slipway.tasks import accessory, checks, hosts, images, lab, lock, migrate, release, secrets

namespace = Collection(
    release.deploy,
    release.rollback,
    release.status,
    images.build,
    images.push,
    hosts.provision,
    hosts.verify,
    checks.test,
    checks.lint,
    checks.bench,
    accessory=accessory.collection,
    lab=lab.collection,
    lock=lock.collection,
    migrate=migrate.collection,
    release=release.collection,
    secrets=secrets.collection,
)
