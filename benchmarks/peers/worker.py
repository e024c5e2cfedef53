"""PyTorch's sides of `train_step.py`, which starts them: `python -m benchmarks.peers.worker SIDE RECIPE`.

After its first step, and for each line N on stdin after N steps, a JSON object is written to stdout.
"""

import copy
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of logits of reals and fakes
LOSSES: dict[str, tuple[Loss, Loss]] = {  # of D and of G
    "non_saturating": (lambda r, f: F.softplus(-r) + F.softplus(f), lambda r, f: F.softplus(-f)),
    "hinge": (lambda r, f: F.relu(1 - r) + F.relu(1 + f), lambda r, f: -f),
    "relativistic": (lambda r, f: F.softplus(f - r), lambda r, f: F.softplus(r - f)),
}


def main(side: str, text: str) -> None:
    """Answers until stdin ends."""
    recipe = SimpleNamespace(**json.loads(text), best=side == "best")
    if recipe.best:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    trainer = Trainer(recipe)
    trainer.step()
    players = {"generator": trainer.generator, "discriminator": trainer.discriminator}
    _say(parameters={name: sum(p.numel() for p in net.parameters()) for name, net in players.items()})
    for line in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            trainer.step()
        _say(seconds=time.perf_counter() - start, busy=time.process_time() - busy)


class Trainer:
    """Both players, their optimisers and a batch of noise.

    Args:
      recipe: of the line; `best`: in channels_last and with fused operations, not PyTorch's defaults.
    """

    def __init__(self, recipe: Any) -> None:
        torch.manual_seed(0)
        family = importlib.import_module(f"benchmarks.peers.{recipe.network}")
        layout = torch.channels_last if recipe.best else torch.contiguous_format
        self.recipe = recipe
        self.generator: nn.Module = family.Generator(recipe).to(memory_format=layout)
        self.discriminator: nn.Module = family.Discriminator(recipe).to(memory_format=layout)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if recipe.half_life else None
        rates = {"lr": recipe.learning_rate, "betas": tuple(recipe.betas), "fused": recipe.best or None}
        self.of_generator = torch.optim.Adam(self.generator.parameters(), **rates)
        self.of_discriminator = torch.optim.Adam(self.discriminator.parameters(), **rates)
        real = torch.rand(recipe.batch, 3, recipe.size, recipe.size) * 2 - 1
        self.real = real.contiguous(memory_format=layout)
        self.losses = LOSSES[recipe.loss]
        self.relativistic = recipe.loss == "relativistic"

    def step(self) -> tuple[float, float]:
        """An update of D and one of G: their losses."""
        kept = self.generate() if self.recipe.one_pass else None
        return self.update_discriminator(kept), self.update_generator(kept)

    def generate(self) -> torch.Tensor:
        """A batch of fakes."""
        return self.generator(torch.randn(self.recipe.batch, self.recipe.latent))

    def update_discriminator(self, kept: torch.Tensor | None) -> float:
        """One update of D, with the gradient penalties asked for: its loss."""
        weights = self.recipe.penalties
        if kept is None:
            with torch.no_grad():
                kept = self.generate()
        real, fake = self.real.detach(), kept.detach()
        real.requires_grad_("r1" in weights)
        fake.requires_grad_("r2" in weights)
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        loss = self.losses[0](on_real, on_fake).mean()
        for name, images, logits in (("r1", real, on_real), ("r2", fake, on_fake)):
            if name in weights:
                (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
                loss = loss + 0.5 * weights[name] * slope.square().sum((1, 2, 3)).mean()
        self.of_discriminator.zero_grad()
        loss.backward()
        self.of_discriminator.step()
        return float(loss.detach())

    def update_generator(self, kept: torch.Tensor | None) -> float:
        """One update of G, and of its average if it has one: its loss."""
        self.discriminator.requires_grad_(False)
        on_fake = self.discriminator(self.generate() if kept is None else kept)
        on_real = on_fake
        if self.relativistic:
            with torch.no_grad():
                on_real = self.discriminator(self.real)
        loss = self.losses[1](on_real, on_fake).mean()
        self.of_generator.zero_grad()
        loss.backward()
        self.of_generator.step()
        self.discriminator.requires_grad_(True)
        if self.average is not None:
            self.follow(self.average)
        return float(loss.detach())

    @torch.no_grad()
    def follow(self, average: nn.Module) -> None:
        """Moves the average towards G."""
        weight = 1 - 0.5 ** (self.recipe.batch / self.recipe.half_life)
        old, new = [*average.parameters()], [*self.generator.parameters()]
        if self.recipe.best:
            torch._foreach_lerp_(old, new, weight)
        else:
            for before, after in zip(old, new, strict=True):
                before.lerp_(after, weight)


def _say(**said: Any) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(said | {"peak": peak}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
