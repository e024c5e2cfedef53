"""What several commands take."""

import argparse


def count(text: str) -> int:
    """An integer from 1."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected an integer from 1, got {text!r}")
    return int(text)


def natural(text: str) -> int:
    """An integer from 0 that random generators take as a seed."""
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"expected an integer from 0 to {2**31 - 1:,}, got {text!r}")
    return int(text)
