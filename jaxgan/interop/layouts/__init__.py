"""Public layouts by name: a function of a network that gives the table of its names, see `tables`."""

from collections.abc import Callable, Mapping

from jaxgan.interop.layouts import biggan, dcgan, sngan, srgan, stylegan2
from jaxgan.interop.tables import Table

LAYOUTS: Mapping[str, Callable[..., Table]] = {
    "biggan": biggan.table,
    "dcgan": dcgan.table,
    "sngan": sngan.table,
    "srgan": srgan.table,
    "stylegan2": stylegan2.table,
}
