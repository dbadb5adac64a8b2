"""Numba kernels: plain arrays in, plain arrays out, one algorithm a file.

Conventions every kernel keeps:

* compiled with ``@kernel`` (see :mod:`kernels.runtime.compile`): nogil, cached, numpy error model;
* parallel work is a *range kernel* ``f(lo, hi, inputs..., outputs...)`` run by :func:`threads.run_ranges`; chunk
  boundaries depend on the input alone and partial results are merged in chunk order, so the bits do not depend on
  the number of threads;
* float64 where a value is summed into money, float32 only inside spatial searches.
"""
