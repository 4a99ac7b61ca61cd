"""The keys of a Compose file: those that exist, and those that a stack cannot use, each with the reason.

Source: the Compose specification's file reference, as of the Compose 2.26 that Debian 13 ships.
"""

from __future__ import annotations

TOP = frozenset({"name", "services", "volumes", "secrets", "networks", "configs", "include", "version"})

TOP_REFUSED = {
    "include": "the stack is one file: write the services here (anchors and x- fragments keep it short)",
    "networks": "every service joins the stack's own network, which Slipway makes",
    "configs": "bring configuration in the image, or as environment and secrets",
    "version": "is obsolete in Compose and has no effect: leave it out",
}

SERVICE = frozenset(
    """annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
    cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec
    depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
    environment expose extends external_links extra_hosts group_add healthcheck hostname image init ipc isolation
    labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit network_mode networks
    oom_kill_disable oom_score_adj pid pids_limit platform ports privileged profiles pull_policy read_only restart
    runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs
    tty ulimits user userns_mode uts volumes volumes_from working_dir""".split()  # noqa: SIM905 - words read better
)

SERVICE_REFUSED = {
    "attach": "a release runs in the background; `docker logs` shows what it says",
    "cpu_count": "is for Windows containers",
    "cpu_percent": "is for Windows containers",
    "credential_spec": "is for Windows containers",
    "isolation": "is for Windows containers",
    "platform": "images are built for the machine that builds them, and run as they are",
    "pull_policy": "images are pulled before the release starts, by digest",
    "container_name": "two releases run side by side: Compose has to name the containers",
    "links": "services find each other by name on the stack's network",
    "external_links": "services find each other by name on the stack's network",
    "network_mode": "every service joins the stack's own network, which Slipway makes",
    "networks": "every service joins the stack's own network, which Slipway makes",
    "privileged": "a container with all rights owns its host; name what it needs under cap_add or devices",
    "extends": "the stack is one file: use anchors and x- fragments",
    "env_file": "a file of this machine is not on the hosts, and its values show in `docker inspect`: use environment"
    " and secrets",
    "configs": "bring configuration in the image, or as environment and secrets",
    "develop": "belongs into compose.dev.yaml",
    "profiles": "a release starts all its services; what is not always wanted belongs into compose.dev.yaml",
    "scale": "write deploy.replicas",
    "volumes_from": "name the volume in both services",
}

DEPLOY = frozenset({"replicas", "resources", "restart_policy"})

DEPLOY_SWARM = frozenset({"endpoint_mode", "labels", "mode", "placement", "rollback_config", "update_config"})
"""Keys below `deploy:` that Compose reads and leaves to Swarm."""

RESOURCES = {"limits": frozenset({"cpus", "memory", "pids"}), "reservations": frozenset({"devices", "memory"})}
"""What Compose takes below `deploy.resources`."""

BUILD = frozenset({"context", "dockerfile", "target", "args"})

BUILD_ALL = BUILD | frozenset(
    """additional_contexts cache_from cache_to dockerfile_inline entitlements extra_hosts isolation labels network
    no_cache platforms privileged pull secrets shm_size ssh tags ulimits""".split()  # noqa: SIM905 - as above
)
"""Keys that Compose knows below `build:`; those beyond BUILD are refused."""

SECRET = frozenset({"environment", "file", "external", "name"})
