"""compose/<stack>/compose.yaml: what it becomes, and each thing that it may not say, with file:line."""

# ruff: noqa: E501 - tables of cases, one a line
from __future__ import annotations

from pathlib import Path

import pytest

from slipway.settings.model import Build, Health, Route

from .conftest import LOCAL, STACK, Checkout

HERE = "compose/hello/compose.yaml"


def test_a_good_stack(checkout: Checkout) -> None:
    stack = checkout.load()[2]
    web, worker, db = stack.services
    assert stack.folder == str(checkout.root / "compose/hello")
    assert (web.role, worker.role, db.role) == ("app", "app", "accessory")
    assert web.build == Build(context=str(checkout.root / "compose/hello/web"))
    assert worker.build == Build(context=str(checkout.root / "compose/hello/web"), target="worker")
    assert web.route == Route(path="/", port=8000, timeout=60)
    assert web.health == Health(live="/health", ready="/health/ready", start_within=30)
    assert (web.drain, worker.phase, worker.health, worker.route) == (600, 2, None, None)
    assert (db.image, db.compose["expose"]) == ("postgres:17", ["5432"])
    assert worker.compose == {"stop_grace_period": "30s"}
    assert (web.secrets, stack.secrets, stack.volumes) == (("token",), ("token",), {"data": {}})
    assert stack.migrate is not None
    assert stack.migrate.pending == ("pending", "list")
    assert stack.smoke[0].contains == "hello"
    assert not [k for s in stack.services for k in s.compose if k.startswith("x-") or k == "build"]
    assert [s.name for s in stack.of_role("app")] == ["web", "worker"]


WEB = "    build: ./web\n"
MIGRATE = "{service: web, command: [migrate], pending: [pending, list], path: web/migrations}"
SQL = "{kind: sql, service: web, path: web/migrations, database: db}"
DB = "    image: postgres:17\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # keys
        (WEB, WEB + "    enviroment: {}\n", '4: services.web.enviroment: unknown key (did you mean "environment"?)'),
        (WEB, WEB + "    x-slipwai: {}\n", '4: services.web.x-slipwai: unknown key (did you mean "x-slipway"?)'),
        ("      drain: 10m", "      dran: 10m", '11: services.web.x-slipway.dran: unknown key (did you mean "drain"?)'),
        ("timeout: 60s", "timout: 60s", '9: services.web.x-slipway.route.timout: unknown key (did you mean "timeout"?)'),
        ("volumes:\n  data", "volume:\n  data", None),
        ("x-slipway:\n  migrate", "x-slipwy:\n  migrate", '25: x-slipwy: unknown key (did you mean "x-slipway"?)'),
        ("contains: hello", "contain: hello", '28: x-slipway.smoke[0].contain: unknown key (did you mean "contains"?)'),
        (WEB, WEB + "    container_name: web\n", "4: services.web.container_name: is not for a stack: two releases run"),
        (WEB, WEB + "    links: [db]\n", "4: services.web.links: is not for a stack: services find each other by name"),
        (WEB, WEB + "    network_mode: host\n", "4: services.web.network_mode: is not for a stack: every service joins"),
        (WEB, WEB + "    networks: [a]\n", "4: services.web.networks: is not for a stack: every service joins"),
        (WEB, WEB + "    privileged: true\n", "4: services.web.privileged: is not for a stack: a container with all rights"),
        (WEB, WEB + "    extends: {service: db}\n", "4: services.web.extends: is not for a stack: the stack is one file"),
        (WEB, WEB + "    env_file: .env\n", "4: services.web.env_file: is not for a stack: a file of this machine"),
        (WEB, WEB + "    profiles: [a]\n", "4: services.web.profiles: is not for a stack: a release starts all"),
        (WEB, WEB + "    scale: 2\n", "4: services.web.scale: is not for a stack: write deploy.replicas"),
        (WEB, WEB + "    ports: ['80:80']\n", "4: services.web.ports: the router is the way in"),
        ("services:\n", "include: [a.yaml]\nservices:\n", "1: include: is not for a stack: the stack is one file"),
        ("services:\n", "networks: {a: {}}\nservices:\n", "1: networks: is not for a stack: every service joins"),
        ("services:\n", "version: '3'\nservices:\n", "1: version: is not for a stack: is obsolete"),
        ("services:\n", "name: other\nservices:\n", "1: name: Slipway names the projects itself"),
        # images and builds
        ("postgres:17", "postgres", "17: services.db.image: has no tag: name a version, e.g. postgres:1.0"),
        ("postgres:17", "postgres:latest", "17: services.db.image: `latest` is another image tomorrow"),
        ("postgres:17", "a:5000/postgres", "17: services.db.image: has no tag"),
        ("postgres:17", "Postgres:17", "17: services.db.image: should be an image's name with its tag"),
        ("postgres:17", "[postgres]", "17: services.db.image: should be an image's name with its tag"),
        (DB, "    restart: always\n", "16: services.db: needs an image, or a build"),
        (WEB, WEB + "    image: web:1\n", "4: services.web.image: Slipway names the images that it builds"),
        (WEB, "    build: ./wep\n", "3: services.web.build.context: there is no folder ./wep in this checkout"),
        (WEB, "    build: ../../..\n", "3: services.web.build.context: there is no folder ../../.. in this checkout"),
        (WEB, "    build: /etc\n", "3: services.web.build.context: there is no folder /etc in this checkout"),
        (WEB, "    build: .\n", "3: services.web.build.dockerfile: there is no Dockerfile in ."),
        (WEB, "    build: 3\n", "3: services.web.build: should be a folder, or a mapping with a context"),
        (WEB, "    build: {context: ./web, contxt: a}\n", '3: services.web.build.contxt: unknown key (did you mean "context"?)'),
        (WEB, "    build: {context: ./web, ssh: [a]}\n", "3: services.web.build.ssh: is not supported"),
        # what is kept
        ("{backup: postgres}", "{}", "20: services.db.x-slipway.backup: the volume data is neither kept nor said to be"),
        ("{backup: postgres}", "{backup: []}", "20: services.db.x-slipway.backup: the volume data is neither kept nor"),
        ("{backup: postgres}", "{backup: postgre}", "20: services.db.x-slipway.backup.kind: should be one of postgres, redis, files or none (did"),
        ("{backup: postgres}", "{backup: {kind: postgres, databse: a}}", '20: services.db.x-slipway.backup.databse: unknown key (did you mean "database"?)'),
        ("{backup: postgres}", "{backup: {kind: postgres, paths: [/a]}}", "20: services.db.x-slipway.backup[0].paths: has no effect with the kind postgres"),
        ("{backup: postgres}", "{backup: {kind: redis, user: a}}", "20: services.db.x-slipway.backup[0].user: has no effect with the kind redis"),
        ("{backup: postgres}", "{backup: {kind: postgres, password: token}}", "20: services.db.x-slipway.backup[0].password: token is no secret of the service"),
        ("{backup: postgres}", "{backup: [postgres, {kind: none, paths: [/a]}]}", "20: services.db.x-slipway.backup[1].paths[0]: is no volume of the service; its volumes: /var/lib"),
        ("{backup: postgres}", "{backup: [postgres, {kind: files, paths: ['/a*']}]}", "20: services.db.x-slipway.backup[1].paths[0]: should be a path inside the service"),
        ("{phase: 2}", "{phase: 2, backup: redis}", "15: services.worker.x-slipway.backup[0]: an app is replaced by each release"),
        ("{phase: 2}", "{phase: 2, backup: files}", "15: services.worker.x-slipway.backup[0]: the service has no volume: name the paths"),
        ("    stop_grace_period: 30s\n    x-slipway: {phase: 2}", "    x-slipway: {role: job, backup: none}", "14: services.worker.x-slipway.backup[0]: a job runs once"),
        ("  smoke:\n", "  clean: [{table: a, column: b, service: dc}]\n  smoke:\n", '27: x-slipway.clean[0].service: is no database that is kept: db'),
        # environment, secrets, users
        ('"${LOG_LEVEL:-INFO}"', '"${LOG_LEVEL:-INFO}"\n      PLAIN:', "8: services.web.environment.PLAIN: would take its value"),
        ('"${LOG_LEVEL:-INFO}"', "${LOG_LEVEL}${PLAIN}", "7: services.web.environment.LOG_LEVEL: ${PLAIN} has no value and no"),
        ('"${LOG_LEVEL:-INFO}"', "${LOG_LEVEL}${X:?say x}", "7: services.web.environment.LOG_LEVEL: ${X} is required: say x"),
        ('"${LOG_LEVEL:-INFO}"', "${LOG_LEVEL", "7: services.web.environment.LOG_LEVEL: `${` is never closed"),
        ('"${LOG_LEVEL:-INFO}"', "$LOG_LEVEL\n      SLIPWAY_RELEASE: x", "8: services.web.environment.SLIPWAY_RELEASE: is set by"),
        ("secrets: [token]", "secrets: [tokn]", '5: services.web.secrets[0]: tokn is not declared under the file\'s top-level'),
        ("secrets: [token]", "secrets: [{source: token, mode: 0400}]", "5: services.web.secrets[0].mode: has no effect"),
        ("secrets: [token]", "secrets: token", "5: services.web.secrets: should be a list"),
        ("{environment: HELLO_TOKEN}", "", "22: secrets.token: should say where plain `docker compose` finds it"),
        ("{environment: HELLO_TOKEN}", "{env: A}", "22: secrets.token.env: unknown key"),
        ('"10001:10001"', "app", "4: services.web.user: should be a number"),
        # volumes
        ("data:/var", "./data:/var", "19: services.db.volumes[0]: ./data is a folder of this machine"),
        ("data:/var", "~/data:/var", "19: services.db.volumes[0]: ~/data is a folder of this machine"),
        ("data:/var", "dat:/var", '19: services.db.volumes[0]: dat is not declared under the file\'s top-level volumes (did'),
        ("data:/var", "/run/docker.sock:/var", "19: services.db.volumes[0]: the engine's socket"),
        # roles
        ("{backup: postgres}", "{backup: postgres, route: {port: 1}}", "20: services.db.x-slipway.route: only an app service has a route"),
        ("{backup: postgres}", "{backup: postgres, phase: 2}", "20: services.db.x-slipway.phase: has no effect: an accessory"),
        (DB, DB + "    deploy: {replicas: 2}\n", "18: services.db.deploy.replicas: only an app service has replicas"),
        ("{phase: 2}", "{phase: first}", "15: services.worker.x-slipway.phase: should be a whole number"),
        ("{phase: 2}", "{phase: 0}", "15: services.worker.x-slipway.phase: should be at least 1"),
        ("{phase: 2}", "{role: appp}", '15: services.worker.x-slipway.role: should be one of app, accessory or job (did you'),
        ("{phase: 2}", "{drain: 1m}", "15: services.worker.x-slipway.drain: needs a route"),
        ("{phase: 2}", "{health: {live: /}}", "15: services.worker.x-slipway.health: needs a route"),
        ("{phase: 2}", "{route: {path: /, port: 1}}", "15: services.worker.x-slipway.route.path: service web has the route /"),
        ("{phase: 2}", "{route: {path: a, port: 1}}", "15: services.worker.x-slipway.route.path: should be a path that starts"),
        ("{phase: 2}", "{route: {path: /a}}", "15: services.worker.x-slipway.route.port: is missing"),
        ("{phase: 2}", "[phase]", "15: services.worker.x-slipway: should be a mapping"),
        (WEB, WEB + "    deploy: {replicas: 0}\n", "4: services.web.deploy.replicas: should be a whole number, 1 to 99"),
        (WEB, WEB + "    deploy: {replicas: 100}\n", "4: services.web.deploy.replicas: should be a whole number, 1 to 99"),
        (WEB, WEB + "    deploy: []\n", "4: services.web.deploy: should be a mapping"),
        ("  worker:\n", "  Worker_1:\n", "12: services.Worker_1: should be a short name"),
        ("  worker:\n", f"  w{'o' * 20}:\n", f"12: services.w{'o' * 20}: should be a short name: a lower-case letter, then letters, digits and hyphens, 20 at most"),
        # what Compose would take and leave without effect
        (WEB, WEB + "    deploy: {replica: 2}\n", '4: services.web.deploy.replica: unknown key (did you mean "replicas"?)'),
        (WEB, WEB + "    deploy: {mode: global}\n", "4: services.web.deploy.mode: has no effect: Compose leaves it to Swarm"),
        (WEB, WEB + "    deploy: {resources: []}\n", "4: services.web.deploy.resources: should be a mapping"),
        (WEB, WEB + "    deploy: {resources: {limit: {}}}\n", '4: services.web.deploy.resources.limit: unknown key (did you mean "limits"?)'),
        (WEB, WEB + "    deploy: {resources: {reservations: {cpus: '1'}}}\n", "4: services.web.deploy.resources.reservations.cpus: has no effect: Compose takes devices and memory here"),
        (WEB, WEB + "    labels: {slipway.stack: x}\n", "4: services.web.labels.slipway.stack: is set by Slipway or Compose itself"),
        (WEB, WEB + "    labels: [com.docker.compose.project=x]\n", "4: services.web.labels[0]: is set by Slipway or Compose itself"),
        (WEB, WEB + "    extra_hosts: a:1.2.3.4\n", "4: services.web.extra_hosts: should be a list of name:address, or a mapping"),
        ('expose: ["5432"]', "expose: [5432/udp]", "18: services.db.expose[0]: should be a port, 1 to 65535"),
        ('expose: ["5432"]', 'expose: ["5432-5440"]', "18: services.db.expose[0]: should be a port, 1 to 65535"),
        ('expose: ["5432"]', "expose: 5432", "18: services.db.expose: should be a list"),
        (DB, DB + "    ports: 5432\n", "18: services.db.ports: should be a list"),
        ("  data: {}", "  data: {driver: nfs}", "24: volumes.data.driver: has no effect: Slipway makes the volume itself"),
        ("  data: {}", "  data: external", "24: volumes.data: should be empty: Slipway makes the volume itself"),
        # the stack
        ("service: web", "service: db", "26: x-slipway.migrate.service: db is no app service of this stack"),
        ("web/migrations", "web/migration", "26: x-slipway.migrate.path: there is no folder web/migration below compose/hello"),
        ("[migrate]", "[]", "26: x-slipway.migrate.command: should have at least one entry"),
        ("[pending, list]", "[]", "26: x-slipway.migrate.pending: should have at least one entry"),
        (", path: web/m", ", database: db, path: web/m", "26: x-slipway.migrate.database: has no effect with kind: command, which connects by itself"),
        (MIGRATE, SQL.replace("db", "web"), '26: x-slipway.migrate.database: should name the accessory that is the Postgres'),
        (MIGRATE, SQL.replace(", database: db", ""), "26: x-slipway.migrate.database: should name the accessory that is the Postgres"),
        (MIGRATE, SQL.replace("sql", "sqll"), '26: x-slipway.migrate.kind: should be one of sql, alembic or command (did you mean "sql"?)'),
        (MIGRATE, SQL.replace("db}", "db, command: [x]}"), "26: x-slipway.migrate.command: has no effect with kind: sql"),
        (MIGRATE, SQL.replace("db}", "db, lock_timeout: 0}"), "26: x-slipway.migrate.lock_timeout: should be a millisecond at least: without a limit it could stop the site"),
        (MIGRATE, SQL.replace("web/migrations", "."), "26: x-slipway.migrate.path: should be below the build context of web, so that its image has it; or say `inside`"),
        ("[migrate]", "migrate", "26: x-slipway.migrate.command: should be a list"),
        ("path: /, contains", "path: x, contains", "28: x-slipway.smoke[0].path: should be a path that starts with /"),
        ("contains: hello}", "method: PATSH}", "28: x-slipway.smoke[0].method: should be one of GET, POST, PUT or DELETE"),
        ("contains: hello}", "status: 99}", "28: x-slipway.smoke[0].status: should be at least 100"),
        ("contains: hello}", "}\n    - {name: greets, path: /}", "29: x-slipway.smoke[1].name: another smoke test has this"),
    ],
)  # fmt: skip
def test_each_bad_input(checkout: Checkout, old: str, new: str, expected: str | None) -> None:
    checkout.change(old, new)
    if expected is None:  # reported, but not alone
        assert f'{HERE}:23: volume: unknown key (did you mean "volumes"?)' in checkout.fails()
        return
    found = checkout.fails()
    assert len(found) == 1, found
    assert found[0].startswith(f"{HERE}:{expected}"), found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: is empty"),
        ("services:\n", "1: services: should be a mapping with a service or more"),
        ("volumes: {}\n", "1: services is missing"),
        ("services: {db: {image: 'a:1'}}\n", "1: services: no service has the role app"),
        (
            "services: {w: {image: 'a:1', x-slipway: {role: app}}}\n",
            "1: services: a stack needs at least one service with a route",
        ),
        ("services: {web: }\n", "1: services.web: should be a mapping"),
        ("services: {web: &a {image: 'a:1', labels: [*a]}}\n", "1: is nested more than 40 deep, or contains itself"),
        ("services: " + "[" * 5000, "1: "),
    ],
)
def test_whole_files(checkout: Checkout, text: str, expected: str) -> None:
    checkout.env("local", "lab: {}\nstacks: [hello]\n")
    checkout.stack(text)
    found = checkout.fails()
    assert len(found) == 1, found
    assert found[0].startswith(f"{HERE}:{expected}")


def test_all_problems_at_once(checkout: Checkout) -> None:
    text = (
        STACK.replace("build: ./web\n", "build: ./wep\n")
        .replace("postgres:17", "postgres")
        .replace("port: 8000", "port: x")
    )
    checkout.stack(text)
    assert [line.split(": ")[1] for line in checkout.fails()] == [
        "services.web.build.context",
        "services.web.x-slipway.route.port",
        "services.db.image",
    ]


def test_environment_in_both_forms_gives_texts_as_written(checkout: Checkout) -> None:
    checkout.change(
        '      LOG_LEVEL: "${LOG_LEVEL:-INFO}"\n', "      - LOG_LEVEL=$LOG_LEVEL\n      - A=b=c\n      - EMPTY=\n"
    )
    environment = checkout.load()[2].service("web").compose["environment"]
    assert environment == {"LOG_LEVEL": "DEBUG", "A": "b=c", "EMPTY": ""}
    more = "$LOG_LEVEL\n      RATIO: 1.10\n      ON: on\n      YES: true\n      TIME: 22:22\n      DAY: 2024-01-01\n      MODE: 0777"
    checkout.change('"${LOG_LEVEL:-INFO}"', more)
    environment = checkout.load()[2].service("web").compose["environment"]
    assert environment == {
        "LOG_LEVEL": "DEBUG", "RATIO": "1.10", "ON": "on", "YES": "true", "TIME": "22:22", "DAY": "2024-01-01", "MODE": "0777",
    }  # fmt: skip


def test_secrets_in_both_forms(checkout: Checkout) -> None:
    checkout.change("secrets: [token]", "secrets: [{source: token, target: t}]")
    assert checkout.load()[2].service("web").secrets == ("token",)


def test_the_user_may_be_a_name_where_no_secret_is_read(checkout: Checkout) -> None:
    checkout.change("secrets: [token]\n", "init: true\n")
    checkout.stack((checkout.root / HERE).read_text().replace('"10001:10001"', "app"))
    assert checkout.load()[2].secrets == ()


def test_numbers_may_be_settings(checkout: Checkout) -> None:
    checkout.change("port: 8000", 'port: "${PORT}"')
    checkout.env("local", LOCAL.replace("DEBUG", "DEBUG, PORT: 9000"))
    route = checkout.load()[2].service("web").route
    assert route is not None
    assert route.port == 9000


def test_anchors_merge_keys_and_fragments(checkout: Checkout) -> None:
    checkout.stack(
        """\
x-base: &base
  restart: always
  environment: &vars {A: "1", B: "${LOG_LEVEL}"}
x-unused: "${NOT_USED_ANYWHERE}"
services:
  web:
    <<: *base
    build: ./web
    environment: {<<: *vars, A: "2"}
    x-slipway: {route: {port: 8000}}
  other:
    <<: [*base, {restart: never, init: true}]
    build: ./web
"""
    )
    checkout.env("local", LOCAL)
    web, other = checkout.load()[2].services
    assert web.compose["environment"] == {"A": "2", "B": "DEBUG"}
    assert other.compose == {"restart": "always", "init": True, "environment": {"A": "1", "B": "DEBUG"}}


def test_a_problem_in_a_fragment_has_the_fragments_line(checkout: Checkout) -> None:
    checkout.stack(
        "x-a: &a\n  restart: always\n  lnks: []\nservices:\n  web:\n    <<: *a\n    image: a:1\n"
        "    x-slipway: {role: app, route: {port: 80}}\n"
    )
    checkout.env("local", "lab: {}\nstacks: [hello]\n")
    assert checkout.fails() == [f'{HERE}:3: services.web.lnks: unknown key (did you mean "links"?)']


def test_settings_stay_texts_where_a_number_is_not_asked_for(checkout: Checkout) -> None:
    checkout.change(
        '      LOG_LEVEL: "${LOG_LEVEL:-INFO}"\n', '      port: "${LOG_LEVEL}"\n      status: "0${LOG_LEVEL}"\n'
    )
    checkout.env("local", LOCAL.replace("DEBUG", '"080"'))
    assert checkout.load()[2].service("web").compose["environment"] == {"port": "080", "status": "0080"}


def test_labels_in_both_forms(checkout: Checkout) -> None:
    for form in ("{team: ml, tier: 1, odd: }", "[team=ml, tier=1, odd]"):
        checkout.change(WEB, WEB + f"    labels: {form}\n")
        assert checkout.load()[2].service("web").compose["labels"] == {"team": "ml", "tier": "1", "odd": ""}


def test_replicas_of_the_environment_win(checkout: Checkout) -> None:
    checkout.change(WEB, WEB + "    deploy: {replicas: 3, resources: {limits: {memory: 1g}}}\n")
    assert checkout.load("staging")[2].service("web").replicas == 3
    web = checkout.load("local")[2].service("web")
    assert web.replicas == 2
    assert web.compose["deploy"] == {"replicas": 2, "resources": {"limits": {"memory": "1g"}}}


def test_an_accessory_may_publish_ports(checkout: Checkout) -> None:
    checkout.change(DB, DB + "    ports: ['127.0.0.1:5432:5432']\n")
    assert checkout.load()[2].service("db").compose["ports"] == ["127.0.0.1:5432:5432"]


def test_a_digest_stands_for_a_tag(checkout: Checkout) -> None:
    checkout.change("postgres:17", "postgres@sha256:" + "0" * 64)
    assert checkout.load()[2].service("db").image == "postgres@sha256:" + "0" * 64


def test_variables_of_the_development_file_count_in_development(checkout: Checkout) -> None:
    (checkout.root / "compose/hello/compose.dev.yaml").write_text('services: {web: {command: ["${RELOAD:-x}"]}}\n')
    checkout.env("local", LOCAL.replace("DEBUG", "DEBUG, RELOAD: y"))
    assert len(checkout.fails()) == 1
    development = (
        LOCAL.replace("DEBUG", "DEBUG, RELOAD: y").replace("    replicas: {web: 2}\n", "") + "development: true\n"
    )
    checkout.env("local", development)
    assert checkout.load()[2].overlay == {"services": {"web": {"command": ["y"]}}}, "and the setting is put in"
    (checkout.root / "compose/hello/compose.dev.yaml").write_text(
        'services: {web: {command: ["${RELOAD}", "${MORE}"]}}\n'
    )
    (problem,) = checkout.fails()
    assert problem.startswith(
        "compose/hello/compose.dev.yaml:1: services.web.command[1]: ${MORE} has no value and no default"
    )


def test_missing_stack_file(checkout: Checkout) -> None:
    Path(checkout.root / HERE).unlink()
    assert checkout.fails() == [
        "envs/local.yml:4: stacks[0].name: there is no compose/hello/compose.yaml; stacks: none",
    ]
