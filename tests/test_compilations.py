# SPDX-License-Identifier: Apache-2.0
"""The count that other tests rely on moves when, and only when, XLA compiles."""

import jax
import numpy as np

from tests.compilations import counting_compilations


def test_each_program_is_counted_once_for_each_shape():
    double = jax.jit(lambda x: 2 * x)
    three, four = np.zeros(3, np.float32), np.zeros(4, np.float32)
    with counting_compilations() as compiled:
        double(three)
        assert len(compiled) == 1
        double(three + 1)
        assert len(compiled) == 1
        double(four)
        assert len(compiled) == 2
    jax.jit(lambda x: 3 * x)(three)
    assert len(compiled) == 2
