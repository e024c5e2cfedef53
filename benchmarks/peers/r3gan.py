"""R3GAN in plain PyTorch. Source: Huang et al. 2024, section 4, configuration E.

Grids are resampled by PyTorch's own interpolation, which in channels_last is faster than the same filter as a
convolution by groups of one channel; at the edges it repeats pixels, where ours sees zeros.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """[B,C,H,W] plus what 1x1, grouped 3x3 and 1x1 convolutions make of it."""

    def __init__(self, channels: int, fields: Any) -> None:
        super().__init__()
        inside = channels * fields["expansion"]
        self.widen = nn.Conv2d(channels, inside, 1)
        self.mix = nn.Conv2d(inside, inside, 3, 1, 1, groups=max(1, inside // fields["group_size"]))
        self.narrow = nn.Conv2d(inside, channels, 1, bias=False)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.leaky_relu(self.widen(images), 0.2)
        return images + self.narrow(F.leaky_relu(self.mix(x), 0.2))


def stages(recipe: Any, fields: Any) -> tuple[int, int]:
    """Channels, as many in all stages, and stages down to a grid of 4x4."""
    return fields["width"], (recipe.size // 4).bit_length()


class Generator(nn.Module):
    """Latents [B,Z] to images [B,3,H,W]."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        fields = recipe.generator
        channels, count = stages(recipe, fields)
        self.basis = nn.Parameter(torch.randn(channels, 4, 4))
        self.coefficients = nn.Linear(recipe.latent, channels, bias=False)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(channels, fields) for _ in range(fields["blocks"]))) for _ in range(count)
        )
        self.image = nn.Conv2d(channels, 3, 1, bias=False)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        x = self.coefficients(latents)[:, :, None, None] * self.basis
        for i, stage in enumerate(self.stages):
            x = stage(F.interpolate(x, scale_factor=2, mode="bilinear") if i else x)
        return self.image(x)


class Discriminator(nn.Module):
    """Images [B,3,H,W] to logits [B]."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        fields = recipe.discriminator
        channels, count = stages(recipe, fields)
        self.image = nn.Conv2d(3, channels, 1, bias=False)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(channels, fields) for _ in range(fields["blocks"]))) for _ in range(count)
        )
        self.basis = nn.Parameter(torch.randn(channels, 4, 4) / 4)
        self.logits = nn.Linear(channels, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.image(images)
        for i, stage in enumerate(self.stages):
            x = stage(F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True) if i else x)
        return self.logits((x * self.basis).sum((2, 3)))[:, 0]
