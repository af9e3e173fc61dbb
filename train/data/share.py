# SPDX-License-Identifier: Apache-2.0
"""The rows of a batch that a host makes."""

from train.data.store import TokenStore


def rows_of_host(store: TokenStore, batch_size: int, share: tuple[int, int]) -> slice:
    """Return a host's rows of every batch.

    Args:
      store: the text of the batches, which must not be empty.
      batch_size: rows of the whole batch, over all hosts.
      share: the host's index and the number of hosts.

    Raises:
      ValueError: the store is empty, or the rows are not a multiple of the hosts.
    """
    index, count = share
    if batch_size % count:
        raise ValueError(
            f"batch_size {batch_size} is not a multiple of the {count} hosts"
        )
    if not store.num_tokens:
        raise ValueError(
            f"{store.path} holds no text; is the corpus large enough to hold documents "
            "out? Prepare it with a smaller --data.held-out-every, or train with "
            "--eval-every 0"
        )
    return slice(index * batch_size // count, (index + 1) * batch_size // count)
