"""The residual networks of SNGAN in plain PyTorch. Source: Miyato et al. 2018, figure 8 and table 3.

As in ours, the generator's skip is convolved before it is upsampled, with which a 1x1 convolution commutes.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


def enlarge(images: torch.Tensor) -> torch.Tensor:
    """Each pixel as 2x2 equal ones."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


class UpBlock(nn.Module):
    """[B,I,H,W] to [B,O,2H,2W]."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv_1, self.conv_2 = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        h = self.conv_1(enlarge(F.relu(self.norm_1(images))))
        return self.conv_2(F.relu(self.norm_2(h))) + enlarge(self.skip(images))


class Generator(nn.Module):
    """Latents [B,Z] to images [B,3,H,W] in [-1, 1]."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        fields = recipe.generator
        channels = [fields["width"] * multiple for multiple in fields["multiples"]][::-1]
        self.side = recipe.size >> len(channels)
        self.dense = nn.Linear(recipe.latent, self.side**2 * channels[0])
        self.blocks = nn.Sequential(*(UpBlock(*pair) for pair in pairwise([channels[0], *channels])))
        self.norm, self.conv = nn.BatchNorm2d(channels[-1]), nn.Conv2d(channels[-1], 3, 3, 1, 1)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.dense(latents).unflatten(1, (-1, self.side, self.side)))
        return torch.tanh(self.conv(F.relu(self.norm(x))))


class DownBlock(nn.Module):
    """[B,I,H,W] to [B,O,H/2,W/2], or where it is plain to [B,O,H,W]; the first is given images."""

    def __init__(self, before: int, after: int, *, first: bool, plain: bool) -> None:
        super().__init__()
        self.first, self.plain = first, plain
        self.conv_1 = spectral_norm(nn.Conv2d(before, after, 3, 1, 1))
        self.conv_2 = spectral_norm(nn.Conv2d(after, after, 3, 1, 1))
        same = plain and before == after
        self.skip: nn.Module = nn.Identity() if same else spectral_norm(nn.Conv2d(before, after, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        h = self.conv_1(images if self.first else F.relu(images))
        h = self.conv_2(F.relu(h))
        if self.plain:
            return h + self.skip(images)
        if self.first:
            return F.avg_pool2d(h, 2) + self.skip(F.avg_pool2d(images, 2))
        return F.avg_pool2d(h + self.skip(images), 2)


class Discriminator(nn.Module):
    """Images [B,3,H,W] to logits [B]."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        fields = recipe.discriminator
        downs = [fields["width"] * multiple for multiple in fields["multiples"]]
        channels = [3, *downs, *[downs[-1]] * fields["plain"]]
        pairs = enumerate(pairwise(channels))
        self.blocks = nn.Sequential(
            *(DownBlock(*pair, first=i == 0, plain=i >= len(downs)) for i, pair in pairs)
        )
        self.dense = spectral_norm(nn.Linear(channels[-1], 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dense(F.relu(self.blocks(images)).sum((2, 3)))[:, 0]
