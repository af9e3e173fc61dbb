# SPDX-License-Identifier: Apache-2.0
"""Where weights and batches lie on a mesh, and in which order its devices stand."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from train.families.elmo.batches import BilmBatch, BilmRows
from train.families.elmo.negatives import Negatives
from train.loop.sharding import host_by_host, shardings_of_batch, spec_of, training_mesh

FSDP = "fsdp"


def make_devices(*hosts: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(id=id, process_index=host) for id, host in enumerate(hosts)]


def test_the_rows_of_a_host_lie_on_its_own_devices():
    # As on TPU, where two hosts share each row of a slice and chips count row by row.
    ordered = host_by_host(make_devices(0, 0, 1, 1, 0, 0, 1, 1))
    assert [device.process_index for device in ordered] == [0] * 4 + [1] * 4
    assert [device.id for device in ordered] == [0, 1, 4, 5, 2, 3, 6, 7]


def test_hosts_with_unequal_numbers_of_devices_are_refused():
    with pytest.raises(ValueError, match="hosts have 2, 1 devices; all need equally"):
        host_by_host(make_devices(0, 0, 1))


def test_neighbours_share_a_copy_of_the_weights():
    mesh = training_mesh(2, jax.devices()[:4])
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2}
    ids = [[device.id for device in row] for row in mesh.devices]
    assert ids == [[0, 1], [2, 3]]


@pytest.mark.parametrize("fsdp", [0, 3, 8])
def test_devices_are_a_multiple_of_those_that_share_weights(fsdp):
    with pytest.raises(ValueError, match=f"fsdp {fsdp} does not divide the 4 devices"):
        training_mesh(fsdp, jax.devices()[:4])


WHOLE = ()
RULES = {
    # Inputs of products; where these are no multiple of four, outputs.
    ("encoder.layer_0.attention.query.kernel", (8, 12)): (FSDP,),
    ("encoder.layer_11.mlp.down.kernel", (30, 8)): (None, FSDP),
    ("encoder.layer_11.mlp.down.kernel", (30, 6)): WHOLE,
    ("heads.mlm.transform.kernel", (8, 8)): (FSDP,),
    ("encoder.char_cnn.highway_0.gate.kernel", (28, 28)): (FSDP,),
    ("encoder.char_cnn.projection.kernel", (28, 16)): (FSDP,),
    # The number of filters; the width of tables, whose rows are an odd number.
    ("encoder.char_cnn.convolution_3.kernel", (4, 16, 128)): (None, None, FSDP),
    ("encoder.embeddings.token.embedding", (30522, 8)): (None, FSDP),
    ("encoder.embeddings.position.embedding", (512, 8)): (None, FSDP),
    ("heads.softmax.weights", (793_471, 8)): (None, FSDP),
    # Gates of a kernel, cells of a projection; the rows of a word table if it can be.
    ("encoder.forward_0.kernel", (16, 128)): (None, FSDP),
    ("encoder.backward_1.projection", (32, 16)): (FSDP,),
    ("encoder.words.embedding", (12, 6)): (FSDP,),
    ("encoder.words.embedding", (13, 8)): (None, FSDP),
    # Small ones are on every device.
    ("encoder.embeddings.segment.embedding", (2, 8)): WHOLE,
    ("encoder.layer_0.attention.query.bias", (8,)): WHOLE,
    ("encoder.layer_0.mlp_norm.scale", (8,)): WHOLE,
    ("heads.softmax.bias", (793_472,)): WHOLE,
    ("encoder.char_cnn.embedding", (261, 16)): WHOLE,
}


@pytest.mark.parametrize(("leaf", "expected"), RULES.items(), ids=str)
def test_weights_are_divided_by_the_table_of_rules(leaf, expected):
    mesh = training_mesh(4, jax.devices())
    assert spec_of(*leaf, mesh) == PartitionSpec(*expected)
    # And what an optimiser remembers of them by the same.
    name, shape = leaf
    assert spec_of(f"opt_state.1.{name}", shape, mesh) == PartitionSpec(*expected)
    assert spec_of(name, shape, training_mesh(1, jax.devices())) == PartitionSpec()


@pytest.mark.parametrize(("num_types", "spread"), [(16, True), (12, False)])
def test_rows_are_spread_over_all_devices_and_negatives_are_everywhere(
    num_types, spread
):
    positions = np.zeros((8, 2, 3), np.int32)
    batch = BilmBatch(
        rows=BilmRows(positions, positions, np.float32(positions), np.zeros(8, bool)),
        types=np.zeros((num_types, 5), np.int32),
        negatives=Negatives(np.zeros((2, 8), np.int32), np.zeros(2, np.float32)),
    )
    places = shardings_of_batch(batch, training_mesh(4, jax.devices()))
    over_all = PartitionSpec(("data", FSDP))
    assert [place.spec for place in places.rows] == [over_all] * 4
    assert places.types.spec == (over_all if spread else PartitionSpec())
    assert [place.spec for place in places.negatives] == [PartitionSpec()] * 2
