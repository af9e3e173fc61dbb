# SPDX-License-Identifier: Apache-2.0
"""Checksums of a checkpoint's leaves, computed where the leaves lie.

A leaf may be sharded over the devices of many hosts, and a checkpoint may be read on
another mesh than the one it was written on. So the checksum is a sum over the elements,
each mixed with its place in the whole array (the finaliser of MurmurHash3, which maps
32 bits one to one): every device adds up its shards, the processes exchange the sums of
all leaves at once, and the mesh does not matter. A change of one element always changes
it, any other change all but once in 2^32.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Shaped, UInt32

from embed_jax.hosts.consensus import total_of_all

# Elements that are mixed at a time on the host, few enough for its caches.
_CHUNK = 1 << 16
# An odd factor maps places one to one.
_ODD = 0x9E3779B1
_KEYS = np.arange(_CHUNK, dtype=np.uint32) * np.uint32(_ODD)
_UNSIGNED = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint32"}


def describe_leaves(named: Mapping[str, Any]) -> dict[str, str]:
    """Return dtype, shape and checksum of each leaf.

    With several processes all of them call it together.

    Args:
      named: arrays of NumPy or JAX by name.

    Example:
      >>> describe_leaves({"bias": np.zeros((1, 2), np.float32)})
      {'bias': 'float32[1,2] 11fd02eb'}
    """
    parts = {name: _parts(leaf) for name, leaf in named.items()}
    sums = {
        name: sum(map(int, numbers)) % (1 << 32)
        for name, numbers in jax.device_get(parts).items()
    }
    # One exchange, not a sum over the mesh for each leaf: as many programs that wait
    # for other processes may run in another order there, and all wait for ever.
    shared = [name for name, leaf in named.items() if _lies_on_several_hosts(leaf)]
    if shared:
        sums |= zip(shared, total_of_all([sums[name] for name in shared]), strict=True)
    return {
        name: f"{_form(leaf)} {sums[name] % (1 << 32):08x}"
        for name, leaf in named.items()
    }


def check_leaves(named: Mapping[str, Any], held: Any, source: str) -> None:
    """Hold leaves that were read against what `describe_leaves` gave before.

    Args:
      named: arrays of NumPy or JAX by name.
      held: what was written then, from a file.
      source: the checkpoint's item, for messages.

    Raises:
      ValueError: names the first leaf that is another one than was written.
    """
    ours = describe_leaves(named)
    if not isinstance(held, dict):
        raise ValueError(f"{source} is damaged: its checksums do not name its arrays")
    for name in sorted(ours.keys() | held.keys()):
        if ours.get(name) != held.get(name):
            raise ValueError(
                f"{source} is damaged: {name} is not what was written (checksum)"
            )


def _form(leaf: Any) -> str:
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def _parts(leaf: Any) -> list[Any]:
    """Return numbers whose sum is the checksum, or this process's part of it."""
    if not isinstance(leaf, jax.Array) or _lies_on_this_host(leaf):
        return [checksum_on_host(np.asarray(leaf))]
    return checksums_on_devices(leaf)


def _lies_on_this_host(leaf: jax.Array) -> bool:
    devices = leaf.sharding.device_set
    return leaf.is_fully_addressable and all(d.platform == "cpu" for d in devices)


def _lies_on_several_hosts(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and not leaf.is_fully_addressable


def checksum_on_host(array: Shaped[np.ndarray, "..."]) -> int:
    """Return the checksum of an array of NumPy, computed by NumPy."""
    flat = np.ascontiguousarray(array).reshape(-1)
    words = flat.view(_UNSIGNED[flat.dtype.itemsize])
    total = 0
    for begin in range(0, len(words), _CHUNK):
        chunk = words[begin : begin + _CHUNK].astype(np.uint32)
        keys = _KEYS[: len(chunk)] + np.uint32(begin * _ODD % (1 << 32))
        total += int(_mix(chunk, keys).sum(dtype=np.uint64))
    return total % (1 << 32)


def checksums_on_devices(array: Shaped[jax.Array, "..."]) -> list[UInt32[Array, ""]]:
    """Return numbers whose sum is the checksum that the host would compute.

    Each is of a shard, computed by its device; of shards that are alike, of one. Those
    of other processes are not among them.
    """
    return [
        _checksum_of_shard(
            shard.data,
            np.array([part.start or 0 for part in shard.index], np.uint32),
            array.shape,
        )
        for shard in array.addressable_shards
        if shard.replica_id == 0
    ]


@partial(jax.jit, static_argnames="shape")
def _checksum_of_shard(
    shard: Shaped[jax.Array, "..."],
    begins: UInt32[Any, " rank"],
    shape: tuple[int, ...],
) -> UInt32[jax.Array, ""]:
    """Return a shard's part of an array's checksum, computed by its device.

    Args:
      shard: a part of the array.
      begins: where in the array the shard begins, along each axis.
      shape: that of the whole array.
    """
    if shard.dtype == bool:
        shard = shard.astype(jnp.uint8)
    kind = jnp.dtype(_UNSIGNED[shard.dtype.itemsize])
    # Of 64 bits become two of 32 along a new last axis, as in NumPy's view.
    words = jax.lax.bitcast_convert_type(shard, kind).astype(jnp.uint32)
    shape = (*shape, *words.shape[len(shape) :])
    places = jnp.zeros(words.shape, jnp.uint32)
    for axis in range(words.ndim):
        stride = math.prod(shape[axis + 1 :]) % (1 << 32)
        steps = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        if axis < len(begins):
            steps += begins[axis]
        places += steps * np.uint32(stride)
    keys = places * np.uint32(_ODD)
    return jnp.sum(_mix(words, keys), dtype=jnp.uint32)


def _mix(words: Any, keys: Any) -> Any:
    """Return 32 bits for each element; arrays of either library, which wrap around.

    NumPy's arrays are overwritten.
    """
    words ^= keys
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x85EBCA6B)
    words ^= words >> np.uint32(13)
    words *= np.uint32(0xC2B2AE35)
    words ^= words >> np.uint32(16)
    return words
