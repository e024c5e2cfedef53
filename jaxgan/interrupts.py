"""SIGTERM and Ctrl-C, seen between steps and agreed on by all processes of a run."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

import jax
import numpy as np
from jax.experimental import multihost_utils


class Interrupts:
    """While it is entered, SIGTERM and SIGINT are noted and no longer stop anything by themselves.

    A second Ctrl-C raises KeyboardInterrupt, for those who cannot wait. Enter it after
    `jax.distributed.initialize`, which takes SIGTERM for itself; in threads other than the main one,
    where Python sets no handlers, it notes nothing.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._noted = 0

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._before = {
            number: signal.signal(number, self._note) for number in (self._SIGNALS if main else ())
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self._noted == signal.SIGINT:
            raise KeyboardInterrupt
        self._noted = number

    def agreed(self) -> int:
        """The signal that any process has noted, 0 for none. Every process must call it alike."""
        if jax.process_count() == 1:
            return self._noted
        return int(np.max(multihost_utils.process_allgather(np.int32(self._noted))))
