# SPDX-License-Identifier: Apache-2.0
"""ELMo's biLM as a trainable torch module.

An oracle of one training step, and torch's side of a training benchmark: the time loop
is in Python, since the projected and clipped LSTM is none that cuDNN or `nn.LSTM` has.
Parameters are the published HDF5 arrays under their names, in the published layouts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

FORWARD, BACKWARD = 0, 1

# carry[direction][layer] is (cell [B, dim], output [B, projection_dim]), detached.
LayerState = tuple[torch.Tensor, torch.Tensor]
Carry = list[list[LayerState]]
# Negatives of one direction: words [K], and the draws that their sampling took.
Sampled = tuple[torch.Tensor | np.ndarray, int]


def log_expected_counts(num_tries: int, V: int, ids: torch.Tensor) -> torch.Tensor:
    """log(1 - (1 - p)^num_tries) of the words, p log-uniform; float64 of ids' shape."""
    k = ids.double()
    p = torch.log1p(1.0 / (k + 1.0)) / np.log(V + 1.0)
    return torch.log(-torch.expm1(num_tries * torch.log1p(-p)))


def sampled_softmax_nll(
    W: torch.Tensor,
    b: torch.Tensor,
    contexts: torch.Tensor,
    targets: torch.Tensor,
    sampled: torch.Tensor,
    num_tries: int,
    sparse: bool = False,
) -> torch.Tensor:
    """Negative log-likelihoods [N] among the target and the sampled words.

    Args:
      W: A row per word [V, P].
      b: A number per word [V].
      contexts: [N, P].
      targets: [N].
      sampled: Different words [K].
      num_tries: Draws that their sampling took.
      sparse: The gradient of W is a sparse tensor; W must be a leaf.
    """
    V = W.shape[0]
    dtype = contexts.dtype
    # One look-up of all rows, so that W's gradient is built once.
    words = torch.cat([targets, sampled])
    rows = functional.embedding(words, W, sparse=sparse)
    offsets = b.index_select(0, words) - log_expected_counts(num_tries, V, words).to(
        dtype
    )
    N = len(targets)
    true = (rows[:N] * contexts).sum(-1) + offsets[:N]  # [N]
    others = torch.addmm(offsets[N:], contexts, rows[N:].T)  # [N, K]
    others = others.masked_fill(targets[:, None] == sampled[None, :], -torch.inf)
    logits = torch.cat([true[:, None], others], dim=1)
    return torch.logsumexp(logits, dim=1) - true


class TorchBiLm(nn.Module):
    """The biLM with its softmax, both directions.

    Args:
      weights: HDF5 dataset name to array: with `char_embed` and the CNN's, or with
        `embedding` [V, P] for word input. `softmax/W` [V, P] may be absent for word
        input, whose `embedding` is then the softmax too; without it and `softmax/b`
        [V] only `top_outputs` works.
      options: The published options.json: `lstm` (n_layers, cell_clip, proj_clip,
        use_skip_connections) and, for character input, `char_cnn` (filters,
        activation, n_highway).
      dropout: On the input of every LSTM layer, whose skip connection carries the
        dropped input, and on the top output; in training mode only.
      dedupe: Run the char-CNN once per different word of a step instead of at every
        position.
      hoist: Multiply a layer's inputs by their half of the kernel in one product
        outside the time loop.
      sparse: With sampled softmax the softmax's W gets a sparse gradient.
      dtype: Of all parameters.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        options: Mapping,
        *,
        dropout: float = 0.0,
        dedupe: bool = False,
        hoist: bool = False,
        sparse: bool = False,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.weights = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(np.asarray(array), dtype=dtype))
                for name, array in weights.items()
            }
        )
        lstm = options["lstm"]
        self.n_layers = lstm["n_layers"]
        self.cell_clip = lstm.get("cell_clip")
        self.proj_clip = lstm.get("proj_clip")
        self.use_skip_connections = lstm["use_skip_connections"]
        self.char_cnn = options.get("char_cnn")
        self.dropout = dropout
        self.dedupe = dedupe
        self.hoist = hoist
        self.sparse = sparse

    # Arrays

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters under their HDF5 names, copied."""
        return {n: w.detach().cpu().numpy().copy() for n, w in self.weights.items()}

    def gradients(self) -> dict[str, np.ndarray]:
        """Their gradients, dense; zeros for parameters that have none."""
        gradients = {}
        for name, w in self.weights.items():
            g = torch.zeros_like(w) if w.grad is None else w.grad
            g = g.to_dense() if g.is_sparse else g
            gradients[name] = g.detach().cpu().numpy().copy()
        return gradients

    # Words

    def character_vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors [N, P] of words given by character ids [N, C], 0 being no word."""
        weights = self.weights
        char_embed = weights["char_embed"]
        # The file has no row for id 0.
        table = torch.cat([char_embed.new_zeros(1, char_embed.shape[1]), char_embed])
        characters = functional.embedding(ids, table).transpose(
            1, 2
        )  # [N, char_dim, C]
        activation = {"relu": torch.relu, "tanh": torch.tanh}[
            self.char_cnn["activation"]
        ]
        pooled = []
        for i in range(len(self.char_cnn["filters"])):
            kernel = weights[f"CNN/W_cnn_{i}"][0].permute(2, 1, 0)  # [n, char_dim, w]
            responses = functional.conv1d(characters, kernel, weights[f"CNN/b_cnn_{i}"])
            pooled.append(activation(responses.max(dim=2).values))
        x = torch.cat(pooled, dim=1)

        for i in range(self.char_cnn.get("n_highway") or 0):
            name = f"CNN_high_{i}"
            gate = torch.sigmoid(
                torch.addmm(weights[f"{name}/b_carry"], x, weights[f"{name}/W_carry"])
            )
            transformed = torch.relu(
                torch.addmm(
                    weights[f"{name}/b_transform"], x, weights[f"{name}/W_transform"]
                )
            )
            x = x + gate * (transformed - x)

        if "CNN_proj/W_proj" in weights:
            x = torch.addmm(weights["CNN_proj/b_proj"], x, weights["CNN_proj/W_proj"])
        return x

    def token_vectors(self, inputs: torch.Tensor) -> torch.Tensor:
        """Vectors [B, T, P]: of character ids [B, T, C], or of word ids [B, T].

        Word ids are the vocabulary's line numbers, counted from 0.
        """
        if "embedding" in self.weights:
            return functional.embedding(inputs, self.weights["embedding"])
        B, T, C = inputs.shape
        words = inputs.reshape(B * T, C)
        if self.dedupe:
            words, places = torch.unique(words, dim=0, return_inverse=True)
            vectors = self.character_vectors(words).index_select(0, places)
        else:
            vectors = self.character_vectors(words)
        return vectors.reshape(B, T, -1)

    # LSTM

    def cell_name(self, direction: int, layer: int) -> str:
        """The group of one LSTM's arrays; a lone layer may lack MultiRNNCell."""
        alone = f"RNN_{direction}/RNN/LSTMCell"
        if self.n_layers == 1 and f"{alone}/W_0" in self.weights:
            return alone
        return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"

    def zero_carry(self, B: int) -> Carry:
        """The carry before the first step."""
        carry = []
        for direction in (FORWARD, BACKWARD):
            layers = []
            for layer in range(self.n_layers):
                name = self.cell_name(direction, layer)
                B_0 = self.weights[f"{name}/B"]
                dim = len(B_0) // 4
                output_dim = dim
                if f"{name}/W_P_0" in self.weights:
                    output_dim = self.weights[f"{name}/W_P_0"].shape[1]
                layers.append((B_0.new_zeros(B, dim), B_0.new_zeros(B, output_dim)))
            carry.append(layers)
        return carry

    def run_layer(
        self, direction: int, layer: int, inputs: torch.Tensor, state: LayerState
    ) -> tuple[torch.Tensor, LayerState]:
        """One LSTM over inputs [T, B, input_dim]: outputs [T, B, P], new state."""
        name = self.cell_name(direction, layer)
        kernel = self.weights[f"{name}/W_0"]
        bias = self.weights[f"{name}/B"]
        projection = None
        if f"{name}/W_P_0" in self.weights:
            projection = self.weights[f"{name}/W_P_0"]

        T, B, input_dim = inputs.shape
        from_inputs = None
        if self.hoist:
            flat = torch.addmm(bias, inputs.reshape(T * B, -1), kernel[:input_dim])
            from_inputs = flat.reshape(T, B, -1).unbind(0)
        recurrent = kernel[input_dim:]
        steps = inputs.unbind(0)

        cell, output = state
        outputs = []
        for t in range(T):
            if from_inputs is not None:
                gates = torch.addmm(from_inputs[t], output, recurrent)
            else:
                gates = torch.addmm(bias, torch.cat([steps[t], output], dim=1), kernel)
            i, j, f, o = gates.chunk(4, dim=1)
            cell = torch.sigmoid(f + 1.0) * cell + torch.sigmoid(i) * torch.tanh(j)
            if self.cell_clip is not None:
                cell = cell.clamp(-self.cell_clip, self.cell_clip)
            output = torch.sigmoid(o) * torch.tanh(cell)
            if projection is not None:
                output = output @ projection
                if self.proj_clip is not None:
                    output = output.clamp(-self.proj_clip, self.proj_clip)
            outputs.append(output)
        return torch.stack(outputs), (cell, output)

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout in training mode."""
        if self.dropout == 0.0:
            return x
        return functional.dropout(x, self.dropout, self.training)

    def run_direction(
        self, direction: int, vectors: torch.Tensor, state: Sequence[LayerState]
    ) -> tuple[torch.Tensor, list[LayerState]]:
        """Token vectors [B, T, P] to the top outputs [B, T, P], before their dropout.

        The words are in the direction's own reading order. The new state is detached.
        """
        x = vectors.transpose(0, 1)
        new_state = []
        for layer in range(self.n_layers):
            x = self.drop(x)
            outputs, (cell, output) = self.run_layer(direction, layer, x, state[layer])
            new_state.append((cell.detach(), output.detach()))
            x = outputs + x if self.use_skip_connections and layer > 0 else outputs
        return x.transpose(0, 1), new_state

    def top_outputs(
        self, direction: int, inputs: torch.Tensor, state: Sequence[LayerState]
    ) -> tuple[torch.Tensor, list[LayerState]]:
        """`run_direction` from `inputs` as `losses` takes them."""
        return self.run_direction(direction, self.token_vectors(inputs), state)

    # Loss

    def nll(
        self,
        contexts: torch.Tensor,
        targets: torch.Tensor,
        mode: str,
        sampled: Sampled | None,
    ) -> torch.Tensor:
        """Negative log-likelihoods [N] of targets [N] given contexts [N, P]."""
        name = "softmax/W" if "softmax/W" in self.weights else "embedding"
        W, b = self.weights[name], self.weights["softmax/b"]
        if mode == "full":
            logits = torch.addmm(b, contexts, W.T)
            return functional.cross_entropy(logits, targets, reduction="none")
        if mode == "sampled":
            ids, num_tries = sampled
            ids = torch.as_tensor(ids, dtype=torch.long, device=targets.device)
            sparse = self.sparse and name != "embedding"
            return sampled_softmax_nll(
                W, b, contexts, targets, ids, num_tries, sparse=sparse
            )
        raise ValueError(f"mode {mode!r}")

    def losses(
        self,
        forward_inputs: torch.Tensor,
        forward_targets: torch.Tensor,
        backward_inputs: torch.Tensor,
        backward_targets: torch.Tensor,
        carry: Carry,
        mode: str = "full",
        sampled: tuple[Sampled, Sampled] | None = None,
        forward_weights: torch.Tensor | None = None,
        backward_weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, Carry]:
        """Mean losses of both directions over one step of their streams.

        Args:
          forward_inputs: Character ids [B, T, C] as inference numbers them, or word ids
            [B, T]; each stream in the order in which it is read.
          forward_targets: Word ids [B, T].
          backward_inputs: As `forward_inputs`.
          backward_targets: As `forward_targets`.
          carry: What the step before left, or `zero_carry(B)`.
          mode: "full" or "sampled" softmax.
          sampled: The negatives of each direction for "sampled".
          forward_weights: Weights [B, T] of the positions in the mean, 1 by default.
            The LSTM runs over positions of weight 0 as over any other.
          backward_weights: As `forward_weights`.

        Returns:
          (forward loss, backward loss, new carry); the loss to train on is half the
          sum.
        """
        streams = [
            (forward_inputs, forward_targets, forward_weights),
            (backward_inputs, backward_targets, backward_weights),
        ]
        if self.dedupe and "embedding" not in self.weights:
            # One char-CNN for the words of both streams.
            B = len(forward_inputs)
            both = self.token_vectors(torch.cat([forward_inputs, backward_inputs]))
            vectors = [both[:B], both[B:]]
        else:
            vectors = [self.token_vectors(inputs) for inputs, _, _ in streams]

        losses, new_carry = [], []
        for direction, (_, targets, weights) in enumerate(streams):
            top, state = self.run_direction(
                direction, vectors[direction], carry[direction]
            )
            new_carry.append(state)
            contexts = self.drop(top).flatten(0, 1)
            nll = self.nll(
                contexts,
                targets.reshape(-1),
                mode,
                None if sampled is None else sampled[direction],
            )
            if weights is None:
                losses.append(nll.mean())
            else:
                weights = weights.reshape(-1).to(nll.dtype)
                losses.append((weights * nll).sum() / weights.sum())
        return losses[0], losses[1], new_carry


def total_loss(forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
    """The loss that is trained on: the mean of both directions'."""
    return 0.5 * (forward + backward)
