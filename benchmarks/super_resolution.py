"""How near to the truth are images enlarged by a network, beside those of bicubic interpolation?

`python benchmarks/super_resolution.py NETWORK super_resolution.tar [--lpips lpips_alex.npz] [--step N]
[--blend SHARE]`

NETWORK is a run's directory (the generator's average) or a file that `jaxgan export` or `jaxgan import`
wrote. The tar holds `set5/hr`, `set5/lr_x4` and so for Set14. PSNR and SSIM are those of papers: of luma as
MATLAB has it, rounded to 8 bits, without as many pixels at each edge as the scale; grey images are taken as
they are. LPIPS is of whole colour images.
"""

import argparse
import io
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgan import editing, metrics, training
from jaxgan.degradations import bicubic
from jaxgan.features.perceptual import lpips
from jaxgan.interop import cards

SETS = ("set5", "set14")
Enlarge = Callable[[jax.Array], jax.Array]


def read_network(path: Path, step: int | None, share: float | None) -> tuple[Enlarge, int]:
    """Small images [1,h,w,3] in [-1, 1] to large ones, and how many times as large."""
    if path.is_dir():
        run = training.open_run(path, step=step)
        run = run if share is None else editing.blend(run, path, share)
        network, variables = run.game.generator, run.sampler.variables
    else:
        network, variables, _ = cards.load(path)
    return jax.jit(partial(network.apply, variables, train=False)), network.scale


def pairs(tar: tarfile.TarFile, name: str, scale: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Small and large images of a set, uint8 [h,w] or [h,w,3]."""
    for path in sorted(n for n in tar.getnames() if n.startswith(f"{name}/hr/") and n.endswith(".png")):
        yield read(tar, path.replace("/hr/", f"/lr_x{scale}/")), read(tar, path)


def read(tar: tarfile.TarFile, name: str) -> np.ndarray:
    """A picture among the tar's files."""
    file = tar.extractfile(name)
    assert file is not None  # it is no folder
    return np.asarray(Image.open(io.BytesIO(file.read())))


def in_colour(image: np.ndarray) -> jax.Array:
    """uint8 [h,w] or [h,w,3] -> [1,h,w,3] in [-1, 1]."""
    colour = image if image.ndim == 3 else image[..., None].repeat(3, axis=-1)
    return jnp.asarray(colour[None] / 127.5 - 1, jnp.float32)


def in_grey(images: jax.Array, grey: bool) -> jax.Array:
    """[1,H,W,3] in whole grey levels -> what is measured, [1,H,W,1]."""
    return jnp.round(jnp.mean(images, axis=-1, keepdims=True) if grey else metrics.luma(images, peak=255))


def measure(made: jax.Array, large: np.ndarray, scale: int, distance: Callable | None) -> list[float]:
    """PSNR, SSIM, and LPIPS if there is a distance."""
    levels, grey = jnp.clip(jnp.round((made + 1) * 127.5), 0, 255), large.ndim == 2
    truth = in_colour(large)
    compared = [in_grey(x, grey) for x in (levels, jnp.round((truth + 1) * 127.5))]
    values = [f(*compared, peak=255, border=scale)[0] for f in (metrics.psnr, metrics.ssim)]
    values += [] if distance is None else [distance(levels / 127.5 - 1, truth)[0]]
    return [float(value) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path, help="a run's directory, or a file of ours")
    parser.add_argument("tar", type=Path)
    parser.add_argument("--lpips", type=Path, help="its weights; without them it is left out")
    parser.add_argument("--step", type=int, help="of a run: a saved step (default: the newest sound one)")
    parser.add_argument("--blend", type=float, help="of a run: see jaxgan.editing.blend")
    given = parser.parse_args()
    enlarge, scale = read_network(given.network, given.step, given.blend)
    found = lpips(given.lpips) if given.lpips else None
    distance = partial(jax.jit(found.apply), found.variables) if found else None
    print("| set | network | PSNR, dB | SSIM |" + (" LPIPS |" if distance else ""))
    print("| --- | --- | --- | --- |" + (" --- |" if distance else ""))
    with tarfile.open(given.tar) as tar:
        for name in SETS:
            rows: dict[str, list[list[float]]] = {"bicubic": [], given.network.name: []}
            for small, large in pairs(tar, name, scale):
                images = in_colour(small)
                size = (images.shape[1] * scale, images.shape[2] * scale)
                for row, made in zip(rows, (bicubic(images, size), enlarge(images)), strict=True):
                    rows[row].append(measure(made, large, scale, distance))
            for row, values in rows.items():
                psnr, *others = np.mean(values, axis=0)
                print(f"| {name} | {row} | {psnr:.2f} | " + " | ".join(f"{x:.4f}" for x in others) + " |")


if __name__ == "__main__":
    main()
