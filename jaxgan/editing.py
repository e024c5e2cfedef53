"""People's own image files through a trained generator: translated, enlarged, repaired."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxgan import pictures, tiling
from jaxgan.config import shown_shapes
from jaxgan.data import DataError, to_float
from jaxgan.data.decoding import SUFFIXES, decode
from jaxgan.data.fitting import Layout, fit, to_channels
from jaxgan.data.listing import MAX_BYTES, list_files
from jaxgan.masks import check_masks
from jaxgan.training import Run, open_run


class EditError(ValueError):
    """What cannot be done with a run or an image; the message says what to change."""


class Picture(NamedTuple):
    """An image file.

    Attributes:
      name: its path below the folder.
      read: () -> its bytes.
    """

    name: str
    read: Callable[[], bytes]

    @property
    def pixels(self) -> np.ndarray:
        """Decoded anew each time: uint8 or uint16 [H,W,C]; a DataError where it is broken."""
        return decode(self.read(), name=self.name)


def open_pictures(path: Path) -> dict[str, Picture]:
    """The images of a file, or of a folder or an archive, by their names without suffixes, in order.

    Raises:
      DataError: it is none of these, too large, or holds no image, or two of one name.
    """
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} has more than {MAX_BYTES >> 20} MiB, which no image needs that is read.")
        return {path.stem: Picture(path.name, path.read_bytes)}
    found = dict[str, Picture]()
    for file in list_files(path).files:
        stem = file.name.rpartition(".")[0]
        if not file.name.lower().endswith(SUFFIXES):
            continue
        if stem in found:
            raise DataError(f"{path}: {found[stem].name} and {file.name} have one name; keep one of them.")
        found[stem] = Picture(file.name, file.read)
    if not found:
        raise DataError(f"{path} holds no images ({', '.join(SUFFIXES)}).")
    return found


def blend(run: Run, directory: str | Path, share: float) -> Run:
    """A run whose generator is between that of its first phase, by pixels alone, and its own.

    Args:
      run: of two phases.
      directory: the run's.
      share: of its own weights, in [0, 1]; the others are those of the end of the first phase.

    Raises:
      EditError: the run has one phase, or a share out of range.
      CheckpointError: the first phase's end was not saved.

    Source: Wang et al. 2018 (ESRGAN), section 3.4, eq. 4: network interpolation.
    """
    steps = run.config.pretrain.steps
    if not steps or not 0.0 <= share <= 1.0:
        raise EditError(
            f"A share of {share} is asked for and {steps} steps were made by pixels alone; expected a share "
            "from 0 to 1 of a run with pretrain.steps."
        )
    first = open_run(directory, step=steps).state.ema
    mixed = jax.tree.map(lambda own, other: share * own + (1 - share) * other, run.state.ema, first)
    return run._replace(sampler=run.sampler._replace(variables=mixed))


def edit(
    run: Run,
    pixels: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    domain: str = "",
    reference: np.ndarray | None = None,
    seed: int = 0,
    tiles: tiling.Tiling = tiling.DEFAULT,
) -> np.ndarray:
    """What a run's generator makes of an image.

    Args:
      run: of a task that is given images.
      pixels: uint8 or uint16 [H,W,C], of any size; brought to the channels that the generator was trained on.
      mask: [H,W,1] of 0 and another number, this where an image is to be repaired; of that task alone.
      domain: the name of that which the image is to be of; of a run of styles alone.
      reference: an image of this domain, as pixels are, that has the style to give; None: a style is drawn.
      seed: of what is random in it.
      tiles: how images are cut that are enlarged.

    Returns:
      uint8 [H,W,C'], of super-resolution [s H,s W,C'].

    Raises:
      EditError: a run that makes images of latents, a mask or a domain that is wanted and missing or the
        other way round, a mask that is not of two numbers, other pixels, tiles that cannot be.
    """
    _check(run, pixels, mask=mask, domain=domain, reference=reference)
    shapes = shown_shapes(run.config, run.record["shapes"])
    channels = shapes.get("input", shapes["image"])[2]
    image = to_float(to_channels(pixels, channels))
    if run.config.task.name == "super_resolution":
        return _enlarged(run, image, seed=seed, tiles=tiles)
    batch = {"input": image[None]}
    if mask is not None:
        binary = mask / np.float32(max(1, mask.max()))
        try:
            check_masks(binary, image)
        except ValueError as error:
            raise EditError(str(error)) from error
        batch["mask"] = binary[None]
    if domain:
        batch["label"] = np.array([_number_of(run, domain)], np.int32)
    if reference is not None:
        layout = Layout(shapes["image"][:2], channels=channels)  # at which styles are read
        batch["image"] = to_float(fit(reference, layout))[None]
    return _rounded(run.sampler.use(batch, seed=seed)[0])


def _check(
    run: Run, pixels: np.ndarray, *, mask: np.ndarray | None, domain: str, reference: np.ndarray | None
) -> None:
    """Refuses what `edit` cannot do."""
    task = run.config.task.name
    for image in (pixels, *([] if reference is None else [reference])):
        right = image.ndim == 3 and image.size > 0 and image.shape[2] <= 4
        if not right or image.dtype not in (np.uint8, np.uint16):
            raise EditError(
                f"Pixels are {image.dtype} {[*image.shape]}, expected uint8 or uint16 [H,W,C] of 1 to 4 "
                "channels."
            )
    if task == "synthesis":
        raise EditError("This run makes images of latents and is given none; see jaxgan.training.open_run.")
    if (mask is not None) != (task == "restoration"):
        wanted = "a mask of what to repair" if task == "restoration" else "no mask"
        raise EditError(f"A run of task.name={task!r} needs {wanted}.")
    if bool(domain) != (task == "styles") or (reference is not None and not domain):
        wanted = "the domain to translate into" if task == "styles" else "no domain and no reference"
        raise EditError(f"A run of task.name={task!r} needs {wanted}.")


def _enlarged(run: Run, image: np.ndarray, *, seed: int, tiles: tiling.Tiling) -> np.ndarray:
    """Tile by tile; rounded band by band, so that no more than one is held in float32."""
    try:
        made = tiling.bands(
            lambda some: run.sampler.use({"input": some}, seed=seed),
            image,
            scale=run.config.task.scale,
            tiling=tiles,
        )
        return np.concatenate([_rounded(band) for band in made])
    except ValueError as error:
        raise EditError(str(error)) from error


def _number_of(run: Run, domain: str) -> int:
    domains: list[str] = [*run.record["classes"]]
    if domain not in domains:
        raise EditError(f"The domain is {domain!r}, expected one of {', '.join(domains)}.")
    return domains.index(domain)


def save(pixels: np.ndarray, path: Path) -> None:
    """Writes a PNG, in folders that are made if they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.save_image(pixels, path)


def _rounded(images: np.ndarray) -> np.ndarray:
    return np.clip(np.round((images.astype(np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)
