"""SIGKILL of the deployer: at every boundary of every verb, at random instants, and all along a first provisioning."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from statistics import median
from typing import Any

from tests.bench.stage import say
from tests.bench.table import Row
from tests.bench.tally import Tally
from tests.support import stacks
from tests.support.faults import arena as arenas
from tests.support.faults import kills
from tests.support.faults.arena import Arena
from tests.support.faults.kills import Kill

VERBS = ("deploy", "rollback", "accessory.apply", "provision")
_MOST_TASKS = 200


def every_boundary(arena: Arena, tally: Tally, every: int, raw: dict[str, Any]) -> list[Row]:
    """Kill each verb at each boundary (each `every`th), go on in turns, and look. `raw`: those that were killed at before."""
    made, undisturbed = _known(raw, "kills"), raw.setdefault("undisturbed", [])
    numbers: dict[str, list[int]] = raw.setdefault("numbers", {})
    wanted = 0
    for verb in VERBS:
        with arena.checkout.changed():
            before, count = arena.rest(), len(kills.boundaries(arena, verb))
            wanted += len(range(1, count + 1, every))
            done = numbers.setdefault(verb, [])
            with tally.clients(arena) as clients:
                for number in sorted(set(range(1, count + 1, every)) - set(done)):
                    if tally.over():
                        break
                    then = kills.NEXT[len(done) % len(kills.NEXT)]
                    made.append(_safely(kills.kill_at, arena, verb, number, then, clients, before))
                    done.append(number)
                    raw["kills"].append(vars(made[-1]))
                    if verb == "deploy" and len(done) % 5 == 0:  # in turns with the others, so under the same load
                        undisturbed.append(arena.deploy("--version", arena.another()).ok().seconds)
    raw["missing"] = wanted - len(made)
    counts = ", ".join(f"{len(done)} of {verb}" for verb, done in numbers.items())
    return [
        _row("kills at operation boundaries after which something was not as it should be", made, f"({counts})"),
        Row("of these boundaries, not come to", raw["missing"], "", 0, 0, f"{wanted} in all"),
        *_next(made, undisturbed),
    ]


def _known(raw: dict[str, Any], name: str) -> list[Kill]:
    """Return the kills that an earlier piece made."""
    return [Kill(**value) for value in raw.setdefault(name, [])]


def _safely(kill: Callable[..., Kill], arena: Arena, verb: str, where: float, then: str, *more: Any) -> Kill:
    """Return the kill; one that could not be looked at to its end is one with a problem, and the next one is made."""
    try:
        made = kill(arena, verb, where, then, *more)
    except AssertionError as error:
        made = Kill(verb, str(where), True, then, problems=[str(error)])
    say(made.text())
    return made


def _row(what: str, made: list[Kill], detail: str) -> Row:
    bad = [k for k in made if k.problems]
    late = sum(not k.killed for k in made)
    words = f"{len(made)} kills {detail}" + (f"; {late} came when the run had ended" if late else "")
    return Row(what, len(bad), "", 0, 0, words + "".join(f"; {k.verb} {k.where}" for k in bad[:5]))


def _next(made: list[Kill], undisturbed: list[float]) -> list[Row]:
    # The same version again may be live already, and then there is nothing to do: that would flatter.
    after = [k.seconds for k in made if k.verb == "deploy" and k.then == "another" and not k.problems]
    if not after or not undisturbed:
        return []
    usual = median(undisturbed)
    detail = (
        f"of another version; median of {len(after)}, worst {max(after):.1f} s; undisturbed {usual:.2f} s, in turns"
    )
    return [Row("next deploy after a SIGKILL", median(after), "s", 1.3 * usual + 2, 1.1 * usual, detail)]


def random_instants(arena: Arena, tally: Tally, count: int, seed: int, raw: dict[str, Any]) -> list[Row]:
    """Kill deploys, rollbacks and accessory.apply at random instants. `raw`: the kills that were made before."""
    made = _known(raw, "kills")
    longest = {"deploy": 4.0, "rollback": 2.5, "accessory.apply": 2.5}
    with arena.checkout.changed():
        before = arena.rest()
        with tally.clients(arena) as clients:
            while len(made) < count and not tally.over():
                chance = random.Random(f"{seed}-{len(made)}")
                verb = chance.choice(("deploy", "deploy", "rollback", "accessory.apply"))
                after, then = chance.uniform(0.2, longest[verb]), kills.NEXT[len(made) % len(kills.NEXT)]
                made.append(_safely(kills.kill_after, arena, verb, after, then, clients, before))
                raw["kills"].append(vars(made[-1]))
    raw["missing"] = count - len(made)
    return [_row("kills at random instants after which something was not as it should be", made, _of(count, seed))]


def two_hosts(tally: Tally, count: int, seed: int, raw: dict[str, Any]) -> list[Row]:
    """Kill deploys and rollbacks to two hosts, at boundaries by chance: one host may be ahead of the other then."""
    made = _known(raw, "kills")
    with arenas.ready(hosts=2) as pair:
        before = pair.rest()
        known = {verb: len(kills.boundaries(pair, verb)) for verb in ("deploy", "rollback")}
        with tally.clients(pair) as clients:
            while len(made) < count and not tally.over():
                chance = random.Random(f"{seed}-{len(made)}")
                verb = chance.choice(tuple(known))
                number, then = chance.randint(1, known[verb]), kills.NEXT[len(made) % len(kills.NEXT)]
                made.append(_safely(kills.kill_at, pair, verb, number, then, clients, before))
                raw["kills"].append(vars(made[-1]))
    raw["missing"] = count - len(made)
    what = "kills of deployers to two hosts after which something was not as it should be"
    return [_row(what, made, _of(count, seed))]


def _of(count: int, seed: int) -> str:
    return f"of {count} (seed {seed})"


def first_provisioning(arena: Arena, tally: Tally, raw: dict[str, Any]) -> list[Row]:
    """Provision a bare host with a deployer that is killed at the end of its first task, of its second one, and so on.

    Each run goes on where the last one was killed; what a killed one had yet to do (a restart that a change asks for) must not be
    forgotten. In the end the host must pass its suite, a further run must change nothing, and a stack must serve from it.
    """
    checkout, env = arena.checkout, "bare"
    with checkout.changed(), tempfile.NamedTemporaryFile() as log:
        checkout.write(f"envs/{env}.yml", "lab: {hosts: 1}\nallow_dirty: true\nstacks: [{name: single, port: 8390}]\n")
        stacks.add_single(checkout, "single")
        checkout.inv("lab.up", "--env", env).ok()
        number, codes = 0, [-9]
        while codes[-1] == -9 and number < _MOST_TASKS and not tally.over():
            number += 1
            program = [".venv/bin/python", "-m", "tests.support.faults.killed", str(number), log.name]
            codes.append(checkout.start_as(program, "provision", "--env", env).result().code)
        again = checkout.inv("provision", "--env", env)
        deployed = checkout.inv("deploy", "--env", env)
        checkout.inv("lab.down", "--env", env)
    wrong = [codes[-1] != 0, again.code != 0, "nothing changed" not in again.out, deployed.code != 0]
    raw.update(kills=number - 1, codes=codes, again=again.text, deploy=deployed.text)
    say(f"first provisioning: {number - 1} kills, then {again.out} {deployed.out}")
    detail = f"killed {number - 1} times, at the end of each task"
    return [Row("first provisioning, killed all along: what was not as it should be", sum(wrong), "", 0, 0, detail)]
