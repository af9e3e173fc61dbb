# SPDX-License-Identifier: Apache-2.0
"""Run simple_elmo, in the virtual environment that has it; see elmo_contenders.

Reads one JSON object from standard input and prints one. Imports nothing of this
project, which that environment does not have.
"""

import json
import logging
import sys
import time

import numpy as np
import tensorflow as tf
from simple_elmo import ElmoModel
from simple_elmo.elmo import weight_layers


def main() -> None:
    """Time the top layer of all sentences, or write all layers of one batch."""
    request = json.load(sys.stdin)
    sentences, batch_size = request["sentences"], request["batch_size"]
    wanted = "all" if request["vectors"] else "top"
    model = ElmoModel()
    logging.getLogger().setLevel(logging.WARNING)
    model.load(request["directory"], max_batch_size=batch_size)
    # A session of our own: without one, every call loads the weights again.
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=request["threads"],
        inter_op_parallelism_threads=request["threads"],
    )
    with tf.compat.v1.Session(config=config) as session:
        model.elmo_sentence_input = weight_layers(
            "input", model.sentence_embeddings_op, use_layers=wanted
        )
        session.run(tf.compat.v1.global_variables_initializer())

        def embed(texts: list[list[str]]) -> np.ndarray:
            return model.get_elmo_vectors(
                texts, warmup=False, layers=wanted, session=session
            )

        if request["vectors"]:
            np.save(request["vectors"], embed(sentences))
            print(json.dumps({}))
            return
        embed(sentences[:batch_size])
        start = time.perf_counter()
        embed(sentences)
        print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
