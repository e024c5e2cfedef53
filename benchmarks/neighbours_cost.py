"""Time and peak memory of precision, recall, density and coverage.

`python benchmarks/neighbours_cost.py [--sizes=50000x64,20000x768] [--arithmetic=float64,float32]`

A size is NxD: N reals and N fakes, float32 Gaussian features. Each case runs in a process of its own. Printed
is a markdown table: seconds for both manifolds (k = 5) and their overlap, compilation included, by the clock
and of all cores' work; and how much the process's peak memory grew, beside the features' and that of one
float32 array of all distances.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import jax
import numpy as np

from jaxgan import metrics

MIB = 2**20


def main() -> None:
    """Prints the table, or measures one case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="50000x64,20000x768")
    parser.add_argument("--arithmetic", default="float64,float32")
    parser.add_argument("--case", help="measure this one in this process")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, np.dtype(options.arithmetic).type)))
        return
    print("| N x D | arithmetic | clock, s | cores, s | peak, MiB | features, MiB | all pairs, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for case in options.sizes.split(","):
        for arithmetic in options.arithmetic.split(","):
            command = [sys.executable, __file__, f"--case={case}", f"--arithmetic={arithmetic}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            values = json.loads(done.stdout)
            print(f"| {case} | {arithmetic} | " + " | ".join(f"{v:,.0f}" for v in values) + " |", flush=True)


def measure(case: str, arithmetic: type) -> list[float]:
    """A row of the table, after its names."""
    count, size = (int(number) for number in case.split("x"))
    random = np.random.default_rng(0)
    real, fake = (random.standard_normal((count, size), np.float32) for _ in range(2))
    jax.block_until_ready(jax.numpy.zeros(1))  # the backend's own memory is there before
    before = _peak()
    start = np.array([time.perf_counter(), time.process_time()])
    manifolds = [metrics.manifold(features, k=5, arithmetic=arithmetic) for features in (real, fake)]
    metrics.overlap(*manifolds, k=5, arithmetic=arithmetic)
    seconds = np.array([time.perf_counter(), time.process_time()]) - start
    return [*seconds, (_peak() - before) / MIB, (real.nbytes + fake.nbytes) / MIB, 4 * count**2 / MIB]


def _peak() -> int:
    """Of this process's resident memory so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
