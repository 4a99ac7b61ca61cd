"""The namespace: what `inv --list` shows, and nothing else."""

from invoke import Collection

from slipway.tasks import (
    accessory,
    backup,
    checks,
    hosts,
    images,
    lab,
    lock,
    logs,
    migrate,
    release,
    restore,
    secrets,
    storage,
)

namespace = Collection(
    release.deploy,
    release.rollback,
    restore.restore,
    release.status,
    images.build,
    images.push,
    hosts.provision,
    hosts.verify,
    checks.test,
    checks.lint,
    checks.scan,
    checks.bump,
    checks.bench,
    accessory=accessory.collection,
    backup=backup.collection,
    lab=lab.collection,
    lock=lock.collection,
    logs=logs.collection,
    migrate=migrate.collection,
    release=release.collection,
    secrets=secrets.collection,
    storage=storage.collection,
)
