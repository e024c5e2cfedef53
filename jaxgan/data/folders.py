"""Which folders of a set are splits, and which of its files are in one."""

from jaxgan.data.labelling import FILES
from jaxgan.data.listing import Listing
from jaxgan.data.sources import DataError
from jaxgan.data.splits import parse_split
from jaxgan.data.survey import is_image

# Folders that are parts of a set, not classes, however they are capitalised.
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation")
_ALSO = {"train": "training", "test": "testing"}


def part_in(listing: Listing, split: str) -> Listing:
    """The split's folder, if the listing has such; names without folders that hold all the rest.

    Raises:
      DataError: the set has splits and not this one, or none and another than 'train' is asked for.
    """
    listing = without_root(listing)
    folders = split_folders(listing)
    split, _ = parse_split(split)
    if not folders:
        if split != "train":
            raise DataError(
                f"{listing.path} has no folder {split!r}; all of it is 'train', of which 'train[:80%]' is a "
                "part."
            )
        return listing
    top = folder_of(listing, split)
    if not top:
        raise DataError(f"{listing.path} has no folder {split!r}; it has {', '.join(sorted(folders))}.")
    files = [
        file._replace(name=file.name[len(top) + 1 :])
        for file in listing.files
        if file.name.startswith(f"{top}/")
    ]
    others = {*folders.values()} - {top}
    skipped = [skip for skip in listing.skipped if skip.name.split("/")[0] not in others]
    part = without_root(listing._replace(files=files, skipped=skipped))
    own = {file.name for file in part.files}
    above = [] if own & {*FILES} else [file for file in listing.files if file.name in FILES]
    return part._replace(files=[*part.files, *above])


def folder_of(listing: Listing, split: str) -> str:
    """A split's folder as it is called, or ''."""
    folders, (split, _) = split_folders(listing), parse_split(split)
    return folders.get(split) or folders.get(_ALSO.get(split, ""), "")


def split_folders(listing: Listing) -> dict[str, str]:
    """The folders that are splits, in lower case and as they are called, where all images are in such.

    Raises:
      DataError: there are several, and images beside them, which would make classes of them.
    """
    tops = {file.name.split("/")[0] for file in listing.files if is_image(file.name)}
    splits = {top.lower(): top for top in tops if top.lower() in SPLITS}
    beside = sorted(tops - {*splits.values()})
    if len(splits) > 1 and beside:
        raise DataError(
            f"{listing.path} has {', '.join(sorted(splits.values()))}, which are splits, and {beside[0]} "
            "beside them; move what is no split, or name one of the folders as the source."
        )
    return {} if beside else splits


def without_root(listing: Listing) -> Listing:
    """Without a folder that all images are in, unless it is called as a split is."""
    while True:
        used = [file.name for file in listing.files if is_image(file.name) or file.name in FILES]
        tops = {name.split("/")[0] for name in used}
        if len(tops) != 1 or {top.lower() for top in tops} <= {*SPLITS} or not all("/" in n for n in used):
            return listing
        (top,) = tops
        files = [file for file in listing.files if file.name.startswith(f"{top}/")]
        listing = listing._replace(files=[file._replace(name=file.name[len(top) + 1 :]) for file in files])
