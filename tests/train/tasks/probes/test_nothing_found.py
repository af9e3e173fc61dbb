# SPDX-License-Identifier: Apache-2.0
"""Where a probe can find nothing, it says why before anything is computed."""

import pytest

from tests.train.probe_run import write_senses
from train.tasks.probes.senses_by_layer import SENSE_FILES, WsdTask


def test_senses_of_lemmas_that_training_lacks(tmp_path):
    documents = [[[("bank", "b1")]], [[("river", "r1")]], [[("water", "w1")]]]
    write_senses(tmp_path / "it" / SENSE_FILES["MASC"], documents)
    with pytest.raises(ValueError, match=r"masc_.*: no lemma of the documents"):
        WsdTask(tmp_path / "it", 3, 0)
    shared = [[[*sentence, ("bank", "b2")] for sentence in d] for d in documents]
    write_senses(tmp_path / "it" / SENSE_FILES["MASC"], shared)
    WsdTask(tmp_path / "it", 3, 0)
