# SPDX-License-Identifier: Apache-2.0
"""What a chip receives for each kind of collective, by hand."""

import pytest

from train.planning.collectives import Collective
from train.planning.program import Shape
from train.planning.roofline import bytes_received


def received(kind: str, group_size: int) -> float:
    """Of a result of 100 float32."""
    shapes = (Shape("float32", (100,)),)
    return bytes_received(Collective(kind, shapes, group_size, ""))


@pytest.mark.parametrize(
    ("kind", "of_four"),
    [
        # Three of the four parts of the result are with others.
        ("all-gather", 300.0),
        # Scattered, then gathered.
        ("all-reduce", 600.0),
        # The result is one part; three others bring theirs to be added.
        ("reduce-scatter", 1200.0),
        ("all-to-all", 300.0),
    ],
)
def test_a_chip_receives_what_others_have(kind: str, of_four: float):
    assert received(kind, 4) == of_four
    # Alone it has everything, but a scattered sum, which costs its own size at least.
    assert received(kind, 1) == (400.0 if kind == "reduce-scatter" else 0.0)


def test_where_the_group_is_not_said_all_of_it_counts():
    assert received("all-gather", 0) == 400.0
    assert received("all-reduce", 0) == 800.0
    assert received("collective-permute", 0) == 400.0
