# SPDX-License-Identifier: Apache-2.0
"""How a model is measured on held-out text, as far as a command can say it."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

from embed_jax.files.run_directory import EXPERIMENT, is_run
from train.former_names import with_current_names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is measured of a text; a family reads the options that mean it."""

    part: str = "held_out"
    """held_out or train."""
    step: int | None = None
    """Of a run, whose checkpoint; by default the latest."""
    batch_size: int = 64
    """Rows at a time. An ELMo that carries its state has other figures with another."""
    batches: int | None = None
    """At most so many batches; by default all of them."""
    reset_state: bool = True
    """ELMo: whether sentences start from zeros, as they are served, or from the state
    that the one before left. Of a run, what it was trained with."""
    length: int = 128
    """BERT: tokens of a row. Of a run, what it was trained with."""
    pairs: Literal["nsp", "sop", "none"] = "none"
    """BERT: whether pairs are measured, and which. Of a run, as trained."""
    packed: bool = False
    """BERT: whether rows hold several texts. Of a run, as trained."""


def settings_of(model: Path) -> dict[str, Any]:
    """Return what experiment.json says of a run; nothing of a model that is none."""
    if not is_run(model):
        return {}
    text = (model / EXPERIMENT).read_text(encoding="utf-8")
    return with_current_names(json.loads(text))
