import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Which rooms of ours a room may import. A new arrow is a decision: make it here, and see that it goes
# one way. Rooms are files of jaxgan/ and folders of it; what goes on inside a folder is tested below.
ROOMS = {
    # Pure: functions of arrays.
    "shapes": set(),
    "losses": {"shapes"},
    "terms": {"shapes"},
    "penalties": {"shapes"},
    "models": set(),
    "masks": set(),
    "tiling": set(),
    "tasks": {"degradations", "masks", "terms"},
    "latents": set(),
    "metrics": {"latents"},
    "degradations": {"shapes"},
    "state": set(),
    "alternation": set(),
    "augment": {"shapes"},
    "schedules": set(),
    "updates": {"alternation", "augment", "losses", "penalties", "schedules", "state", "tasks"},
    "steps": {"alternation", "schedules", "state", "updates"},
    "costs": {"alternation", "state", "steps", "updates"},
    # One step on many devices, images from a generator.
    "parallel": {"state", "steps"},
    "sampling": {"data", "state", "steps", "tasks"},
    "translating": {"data", "sampling", "state", "tasks"},
    # The edges: I/O.
    "data": set(),
    "files": set(),
    "interrupts": set(),
    "manifests": set(),
    "snapshots": {"manifests"},
    "checkpoints": {"manifests", "snapshots"},
    "pictures": {"files"},
    "report": {"files", "pictures"},
    "evaluation": {"data", "features", "files", "metrics", "sampling", "translating"},
    "galleries": {"data", "metrics", "pictures", "sampling", "translating"},
    "observation": {"evaluation", "pictures", "report", "state"},
    "features": {"data", "files", "interop", "models"},
    # The door, where a config stops, and the loop.
    "rules": {
        "alternation", "augment", "data", "evaluation", "losses", "masks", "models", "parallel", "penalties",
        "tasks", "terms",
    },
    "relations": {"alternation", "evaluation", "losses", "models", "penalties", "rules", "schedules"},
    "config": {"data", "models", "relations", "rules"},
    "applications": {"config", "data", "degradations", "features", "masks", "models", "tasks"},
    "build": {
        "alternation", "applications", "augment", "config", "data", "evaluation", "losses", "models",
        "penalties", "relations", "rules", "schedules", "steps", "tasks",
    },
    "records": {"config", "data", "files", "report"},
    "training": {
        "alternation", "applications", "build", "checkpoints", "config", "data", "evaluation", "galleries",
        "interrupts", "models", "observation", "parallel", "records", "report", "rules", "sampling", "state",
        "steps", "translating",
    },
    "preview": {"alternation", "config", "costs", "data", "report", "state", "steps", "training"},
    "command": {"config"},
    "interop": {"files", "models"},
    "tables": {
        "alternation", "build", "command", "config", "costs", "losses", "models", "rules", "steps", "tasks",
    },
    "exports": {"alternation", "interop", "state", "tasks", "training"},
    "comparisons": {
        "build", "checkpoints", "config", "data", "evaluation", "observation", "pictures", "training",
    },
    "editing": {"config", "data", "masks", "pictures", "tiling", "training"},
    "cli": {
        "alternation", "checkpoints", "comparisons", "config", "data", "editing", "evaluation", "exports",
        "features", "interop", "models", "parallel", "pictures", "tables", "tiling", "training",
    },
}  # fmt: skip
PURE = {
    "shapes", "losses", "terms", "penalties", "models", "tasks", "latents", "metrics", "state", "alternation",
    "augment", "schedules", "updates", "steps", "costs", "masks", "degradations",
}  # fmt: skip
# What families of networks share; coupled and recurrent ones are of DCGAN's stages, cycles of translators.
SHARED = {
    "layers", "convolutions", "bilinear", "deviation", "domains", "equalized", "modulation", "dcgan",
    "patch", "translator",
}  # fmt: skip
ARRAY_LIBRARIES = {"collections", "functools", "math", "operator", "typing", "flax", "jax", "optax"}
# Figures of a few numbers each are made on the host, in float64, and tables that shapes decide.
HOST_LIBRARIES = {
    "metrics": {"dataclasses", "numpy", "scipy"},
    "masks": {"numpy"},
    "degradations": {"numpy"},
}


def files(room):
    return sorted((ROOT / "jaxgan" / room).rglob("*.py")) or [ROOT / "jaxgan" / f"{room}.py"]


def imports(path, root=ROOT):
    """Dotted names that a file imports anywhere in it, functions included: 'jaxgan.data.Source'."""
    package = path.relative_to(root).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = [*package[: -node.level]] if node.level else []
            origin += [node.module] if node.module else []
            yield from (".".join([*origin, alias.name]) for alias in node.names)


def rooms_of_ours(path):
    """The rooms of jaxgan that a file imports; '' is jaxgan itself."""
    return {f"{name}.".split(".")[1] for name in imports(path) if name.split(".")[0] == "jaxgan"}


def test_imports_are_found_wherever_and_however_they_are_written(tmp_path):
    path = tmp_path / "jaxgan" / "tasks" / "cycle.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import jax.numpy as jnp, jaxgan.a\nfrom jaxgan import b\nfrom jaxgan.c.d import e\n"
        "from . import f\nfrom ..g import h\ndef i():\n    if j:\n        from jaxgan.k import l\n"
    )
    assert set(imports(path, tmp_path)) == {
        "jax.numpy", "jaxgan.a", "jaxgan.b", "jaxgan.c.d.e", "jaxgan.tasks.f", "jaxgan.g.h", "jaxgan.k.l",
    }  # fmt: skip


def test_every_file_belongs_to_a_room():
    found = {path.relative_to(ROOT / "jaxgan").parts[0] for path in (ROOT / "jaxgan").rglob("*.py")}
    assert {name.removesuffix(".py") for name in found} == {"__init__", *ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    for path in files(room):
        beyond = rooms_of_ours(path) - {"", room} - ROOMS[room]  # "" imports nothing itself
        assert not beyond, f"{path.relative_to(ROOT)} imports {sorted(beyond)}, see ROOMS"


def test_arrows_go_one_way():
    graphlib.TopologicalSorter(ROOMS).prepare()


def test_the_package_itself_imports_nothing():
    assert not list(imports(ROOT / "jaxgan" / "__init__.py"))


@pytest.mark.parametrize(("room", "shared"), [("models", SHARED), ("tasks", {"__init__"})])
def test_a_family_and_a_task_stand_alone(room, shared):
    siblings = {path.stem for path in files(room)} - shared
    for path in files(room):
        if path.stem == "families":  # the list of them
            continue
        taken = {
            name for name in imports(path) if name.startswith("jaxgan.") and siblings & {*name.split(".")}
        }
        assert not taken, f"{path.relative_to(ROOT)} imports its siblings' {sorted(taken)}"


@pytest.mark.parametrize("room", sorted(PURE))
def test_a_pure_room_touches_no_files_and_no_other_libraries(room):
    assert ROOMS[room] <= PURE
    for path in files(room):
        allowed = {"jaxgan"} | ARRAY_LIBRARIES | HOST_LIBRARIES.get(room, set())
        beyond = {name.split(".")[0] for name in imports(path)} - allowed
        assert not beyond, f"{path.relative_to(ROOT)} imports {sorted(beyond)}"


def test_a_config_is_data_and_imports_no_code_of_ours():
    for path in (ROOT / "configs").glob("*.py"):
        assert not rooms_of_ours(path), path.name


def test_the_command_leaves_the_work_to_the_rooms():
    assert rooms_of_ours(ROOT / "train.py") <= {
        "checkpoints", "command", "config", "data", "observation", "parallel", "preview", "records",
        "training",
    }  # fmt: skip
