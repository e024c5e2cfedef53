"""DCGAN in plain PyTorch: strided and transposed 4x4 convolutions. Source: Radford et al. 2016, section 3."""

from itertools import pairwise
from typing import Any

from torch import nn


def widths(recipe: Any, width: int) -> list[int]:
    """Channels of the stages from the image inwards, to a grid of 4x4."""
    count = (recipe.size // 4).bit_length() - 1
    return [width * 2 ** min(stage, 3) for stage in range(count)]


class Generator(nn.Sequential):
    """Latents [B,Z] to images [B,3,H,W] in [-1, 1]."""

    def __init__(self, recipe: Any) -> None:
        inner = widths(recipe, recipe.generator["width"])[::-1]
        layers: list[nn.Module] = [nn.Unflatten(1, (recipe.latent, 1, 1))]
        layers += [nn.ConvTranspose2d(recipe.latent, inner[0], 4, bias=False)]
        for before, after in pairwise(inner):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(inner[-1]), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.ConvTranspose2d(inner[-1], 3, 4, 2, 1), nn.Tanh())


class Discriminator(nn.Sequential):
    """Images [B,3,H,W] to logits [B]."""

    def __init__(self, recipe: Any) -> None:
        channels = [3, *widths(recipe, recipe.discriminator["width"])]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        super().__init__(*layers, nn.Conv2d(channels[-1], 1, 4), nn.Flatten(0))
