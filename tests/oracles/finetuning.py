# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning in torch: AdamW and the schedule as every script of transformers has."""

from typing import Any

import numpy as np
import torch
import transformers

from train.tasks.finetune.classified_rows import IGNORED
from train.tasks.finetune.finetuning import BETAS, EPSILONS, Finetuning

# What torch's cross entropy leaves out.
TORCH_IGNORED = -100
UNDECAYED = ("bias", "LayerNorm.weight")


def to_tensors(tokens: Any, labels: np.ndarray | None = None) -> dict[str, Any]:
    """Turn a batch into what the classes of transformers take; empty rows go."""
    real = np.asarray(tokens.mask).any(axis=1)
    arrays = {
        "input_ids": tokens.ids,
        "token_type_ids": tokens.segment_ids,
        "attention_mask": tokens.mask,
    }
    if labels is not None:
        arrays["labels"] = np.where(labels == IGNORED, TORCH_IGNORED, labels)
    return {
        name: torch.from_numpy(np.asarray(array)[real].astype(np.int64))
        for name, array in arrays.items()
    }


class TorchStepper:
    """The counterpart of `train.tasks.finetune.finetuning.Stepper`, for torch."""

    def __init__(self, config: Finetuning, network: Any, num_steps: int) -> None:
        assert config.recipe == "transformers"
        self.network = network
        decayed, undecayed = [], []
        for name, parameter in network.named_parameters():
            (undecayed if name.endswith(UNDECAYED) else decayed).append(parameter)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": config.weight_decay},
                {"params": undecayed, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=BETAS,
            eps=EPSILONS["transformers"],
        )
        self._schedule = transformers.get_linear_schedule_with_warmup(
            self._optimizer, int(config.warmup_rate * num_steps), num_steps
        )
        self._max_norm = config.max_gradient_norm

    def __call__(self, tokens: Any, labels: np.ndarray) -> float:
        """Make a step; return the loss before it."""
        loss = self.network(**to_tensors(tokens, labels)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._max_norm)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        return float(loss.detach())
