"""What the README says works, word for word."""

import re
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import base, digits
from jaxgan import build, steps
from jaxgan.alternation import batches_per_step
from jaxgan.config import check, flatten

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RECIPES = (ROOT / "docs" / "recipes.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_toy_in_a_pipeline_of_ones_own_covers_its_ring():
    (toy,) = [block for block in blocks("python") if "make_train_step" in block]
    assert len(toy.splitlines()) < 40
    scope = {}
    exec(toy, scope)
    points = np.asarray(scope["points"])
    assert points.shape == (1000, 2)
    angles = np.arange(8) * np.pi / 4
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    distances = np.linalg.norm(points[:, None] - centres, axis=-1)
    near = distances.min(axis=1) < 0.2
    assert near.mean() > 0.7
    shares = np.bincount(distances.argmin(axis=1)[near], minlength=8) / 1000
    assert (shares > 0.02).all(), shares


def test_ones_own_arrays_train(tmp_path, monkeypatch):
    (own,) = [block for block in blocks("python") if "from_arrays" in block]
    monkeypatch.chdir(tmp_path)
    own = own.replace("run =", "config.steps, config.parallel.devices = 1, 1\nrun =")
    images = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), np.uint8)
    scope = {"images": images, "labels": np.arange(70) % 3}
    exec(own, scope)
    assert scope["pictures"].shape == (4, 8, 8, 3)


def test_files_and_configs_that_are_named_exist():
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(
        r"`((?:jaxgan|configs)/[\w/]+\.py)`", README
    ):
        assert (ROOT / path).exists(), path
    table = re.findall(r"^\| `(\w+\.py)` \|", README, flags=re.MULTILINE)
    assert set(table) | {"base.py"} == {path.name for path in (ROOT / "configs").glob("*.py")}


def test_the_recipe_of_schedules_is_a_config_that_can_run():
    (recipe,) = [block for block in blocks("python") if "config.schedules" in block]
    scope = {"config": digits.get_config()}
    exec(recipe, scope)
    check(scope["config"])
    assert len(scope["config"].schedules) == 3


@pytest.mark.parametrize("recipe", blocks("python", RECIPES), ids=lambda recipe: recipe.splitlines()[0])
def test_a_recipe_is_a_config_that_traces(recipe):
    config = base.get_config()

    def both(**fields):
        for player in config.optimizer.values():
            player.update(fields)

    before = flatten(config)
    exec(recipe, {"config": config, "both": both})
    assert flatten(config) != before or 'loss = "non_saturating"' in recipe
    check(config)
    game = build.make_game(config, {"image": (16, 16, 3)}, 4)
    phases = build.make_alternation(config)
    size = (batches_per_step(phases), config.batch_size)
    batch = {"image": np.zeros((*size, 16, 16, 3), np.uint8), "label": np.zeros(size, np.int32)}
    state = jax.eval_shape(partial(steps.init_state, game), batch, jax.random.key(0))
    after, metrics = jax.eval_shape(build.make_train_step(config, game), state, batch, jax.random.key(0))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    weighted = [*build.make_penalties(config), *build.make_term_weights(config)]
    assert all(any(name in metric for metric in metrics) for name in weighted)
