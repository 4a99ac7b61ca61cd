"""Storage: what uses the disk, and what of it could go."""

from __future__ import annotations

from invoke import Collection, Context

from slipway.tasks import document, environment, out, task


@task("env", "stack", "format")
def review(c: Context, env: str = "", stack: str = "", format: str = "text") -> None:
    """Show what uses the disk: backups, images, volumes, tables; and what could go."""
    as_json = document(format)
    from slipway.data import storage

    found = storage.review(environment(c, env), stack or None)
    out(found if as_json else storage.text(found))


@task("env", "stack", "plan", older_than="age from which rows go, such as 90d", yes="agree to deleting them")
def clean(
    c: Context, env: str = "", stack: str = "", older_than: str = "90d", plan: bool = False, yes: bool = False
) -> None:
    """Delete old rows of the tables that the stack names under `clean`; --plan counts them."""
    from slipway.data import storage

    for one in storage.clean(environment(c, env), stack or None, older_than, plan_only=plan, yes=yes):
        out(f"{one['service']} {one['table']}: {one['rows']} rows {'would go' if plan else 'deleted'}")


collection = Collection("storage", review, clean)
