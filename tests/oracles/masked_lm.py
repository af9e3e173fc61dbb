# SPDX-License-Identifier: Apache-2.0
"""BERT's pretraining loss and optimiser on transformers' model, in torch.

An oracle of Google BERT's training step: the model is Hugging Face's, the loss and Adam
are written from their published definitions.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch.nn import functional
from transformers import BertForPreTraining


def train_padding_row(model: BertForPreTraining) -> None:
    """Let the gradient of the word look-up reach [PAD]'s row, as Google BERT does."""
    model.bert.embeddings.word_embeddings.padding_idx = None


def pretraining_loss(
    model: BertForPreTraining,
    batch: Mapping[str, torch.Tensor],
    gather_first: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The loss of a batch: masked words and next sentence, 1:1.

    Args:
      model: Its mode and dropout are the caller's.
      batch: `ids`, `segment_ids` and `mask` (1 at words) [B, T], `masked_positions`,
        `masked_ids` and `masked_weights` [B, M], `next_sentence_labels` [B] (0 where B
        really follows A).
      gather_first: Run the head at the masked positions only: the same numbers in less
        time.

    Returns:
      (loss, masked-word loss, next-sentence loss), scalars.
    """
    ids = batch["ids"].long()
    inputs = {
        "input_ids": ids,
        "token_type_ids": batch["segment_ids"].long(),
        "attention_mask": batch["mask"].long(),
    }
    rows = torch.arange(ids.shape[0], device=ids.device)[:, None]
    positions = batch["masked_positions"].long()
    if gather_first:
        outputs = model.bert(**inputs)
        logits, next_logits = model.cls(
            outputs.last_hidden_state[rows, positions], outputs.pooler_output
        )
    else:
        outputs = model(**inputs)
        logits = outputs.prediction_logits[rows, positions]
        next_logits = outputs.seq_relationship_logits

    log_probs = functional.log_softmax(logits, dim=-1)  # [B, M, V]
    nll = -log_probs.gather(-1, batch["masked_ids"].long()[..., None])[..., 0]
    weights = batch["masked_weights"].to(nll.dtype)
    mlm = (weights * nll).sum() / (weights.sum() + 1e-5)

    next_log_probs = functional.log_softmax(next_logits, dim=-1)  # [B, 2]
    labels = batch["next_sentence_labels"].long()
    nsp = -next_log_probs.gather(-1, labels[:, None]).mean()
    return mlm + nsp, mlm, nsp


class TorchBertAdam:
    """Google BERT's Adam over named parameters, changed in place.

    The same as `tests.oracles.optimizers.BertAdam`: epsilon outside the root, decoupled
    decay times the learning rate, by default no bias correction.

    Args:
      named_parameters: What `named_parameters()` of a model gives; tied parameters
        come once.
      learning_rate: A number, or a function of the number of steps made before.
      beta1: Decay of the first moment.
      beta2: Decay of the second moment.
      epsilon: Added to the root of the second moment.
      weight_decay: Factor of the decay.
      exclude: Patterns of the names that are not decayed.
      bias_correction: Divide the moments by 1 - beta^t.
      clip_norm: Bound of the global norm of all gradients, None for no bound.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, torch.Tensor]],
        learning_rate: float | Callable[[int], float],
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float = 0.01,
        exclude: tuple[str, ...] = ("LayerNorm", "layer_norm", "bias"),
        bias_correction: bool = False,
        clip_norm: float | None = None,
    ):
        self.parameters = dict(named_parameters)
        self.learning_rate = learning_rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.exclude = exclude
        self.bias_correction = bias_correction
        self.clip_norm = clip_norm
        self.m = {n: torch.zeros_like(w) for n, w in self.parameters.items()}
        self.v = {n: torch.zeros_like(w) for n, w in self.parameters.items()}
        self.n_steps = 0

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for w in self.parameters.values():
            w.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change every parameter that has a gradient."""
        with_grad = {n: w for n, w in self.parameters.items() if w.grad is not None}
        scale = 1.0
        if self.clip_norm is not None:
            norms = [torch.linalg.vector_norm(w.grad) for w in with_grad.values()]
            norm = torch.linalg.vector_norm(torch.stack(norms))
            scale = torch.clamp(self.clip_norm / norm, max=1.0)
        learning_rate = self.learning_rate
        if callable(learning_rate):
            learning_rate = learning_rate(self.n_steps)
        for name, w in with_grad.items():
            g = w.grad * scale
            m, v = self.m[name], self.v[name]
            m.mul_(self.beta1).add_(g, alpha=1.0 - self.beta1)
            v.mul_(self.beta2).addcmul_(g, g, value=1.0 - self.beta2)
            if self.bias_correction:
                m = m / (1.0 - self.beta1 ** (self.n_steps + 1))
                v = v / (1.0 - self.beta2 ** (self.n_steps + 1))
            update = m / (v.sqrt() + self.epsilon)
            if not any(re.search(pattern, name) for pattern in self.exclude):
                update = update.add_(w, alpha=self.weight_decay)
            w.sub_(update, alpha=learning_rate)
        self.n_steps += 1
