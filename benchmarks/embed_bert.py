# SPDX-License-Identifier: Apache-2.0
"""BERT inference against what else there is, on the same weights and sentences.

    pip install -e '.[benchmarks]'
    python -m benchmarks.embed_bert --model base
    python -m benchmarks.embed_bert --model minilm

Every contender runs in a process of its own, several rounds in turn, and the median
counts. Three figures each:

    words/s    from text to one mean-pooled vector a sentence, tokenising included,
               with the batching that the contender brings or that suits it best
    tokens/s   the forward pass over the same sentences, tokenised and batched before
               the clock starts; padding does not count as tokens
    dense/s    tokens/s of one batch of 8 rows of 128 real tokens, the same for all

Compilation and the choice of a batch size happen before the clock starts.
"""

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from embed_jax.corpus.docstrings import read_paragraphs
from tests import pretrained

CONTENDERS = (
    "ours",
    "sentence-transformers",
    "transformers",
    "transformers-bfloat16",
    "onnxruntime",
    "onnxruntime-int8",
)
BATCH_SIZES = (8, 16, 32, 64)

Rounds = dict[str, list[dict[str, float]]]
WORK = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "contextual-jax"


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure the speed of BERT inference on this machine's CPU."""

    model: Literal["base", "minilm"] = "base"
    """BERT-base with random weights, or all-MiniLM-L6-v2."""
    sentences: int | None = None
    """How many sentences; by default 600 for base, 4,000 for minilm."""
    rounds: int = 3
    """How often each contender runs."""
    contenders: tuple[str, ...] = CONTENDERS
    """Which ones to run."""
    only: str | None = None
    """Run one contender in this process and print its figures as JSON."""


def main() -> None:
    """Run the rounds and print the table, or run one contender."""
    command = tyro.cli(Command)
    count = command.sentences or {"base": 600, "minilm": 4000}[command.model]
    directory = prepare(command.model)
    if command.only:
        figures = measure(command.only, directory, read_sentences(count))
        print(json.dumps(figures))
        return
    rounds: dict[str, list[dict[str, float]]] = {
        name: [] for name in command.contenders
    }
    for _ in range(command.rounds):
        for name in command.contenders:
            line = [sys.executable, "-m", "benchmarks.embed_bert", "--only", name]
            line += ["--model", command.model, "--sentences", str(count)]
            run = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
            rounds[name].append(json.loads(run.stdout.splitlines()[-1]))
            print(name, rounds[name][-1], file=sys.stderr)
    print_table(command.model, count, rounds)


def print_table(model: str, count: int, rounds: Rounds) -> None:
    """Print medians, and how many times as fast ours is."""
    print(f"{describe_machine()}\n{model}, {count} sentences, median of rounds\n")
    print("| contender | words/s | ours is | tokens/s | ours is | dense/s | ours is |")
    print("|---|---|---|---|---|---|---|")
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in rounds.items()
    }
    ours = medians.get("ours")
    for name, figures in medians.items():
        cells = []
        for key in ("words", "tokens", "dense"):
            ratio = f"{ours[key] / figures[key]:.2f}x" if ours else ""
            cells += [f"{figures[key]:,.0f}", ratio]
        print(f"| {name} | {' | '.join(cells)} |")


def describe_machine() -> str:
    """Name the processor and the versions of everything that competes."""
    info = Path("/proc/cpuinfo")
    names = info.read_text().split("\n") if info.exists() else []
    model = next((n.split(":")[1].strip() for n in names if "model name" in n), "")
    packages = (
        *("jax", "flax", "torch", "transformers", "sentence-transformers"),
        "onnxruntime",
    )
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{model or platform.processor()}, {os.cpu_count()} cores; {versions}"


def read_sentences(count: int) -> list[str]:
    """Read real sentences, lengths as they come: English web text, or docstrings."""
    data = Path(os.environ.get("CONTEXTUAL_DATA", "../shared/data"))
    path = data / "pos_ud_english_ewt/train.text.txt"
    if path.exists():
        sentences = [s for s in path.read_text(encoding="utf-8").splitlines() if s]
    else:
        sentences = list(read_paragraphs())
    # Spread over the whole file, whose genres come one after the other.
    picked = np.linspace(0, len(sentences) - 1, count).astype(int)
    return [sentences[index] for index in picked]


def prepare(model: str) -> Path:
    """Make the model's directory, once."""
    minilm = pretrained.fetch("all-MiniLM-L6-v2", WORK / "models/all-MiniLM-L6-v2")
    if model == "minilm":
        return minilm
    base = WORK / "models/bert-base-random"
    if not base.exists():
        import jax

        import bert_jax

        params = bert_jax.init_params(
            jax.random.key(0), bert_jax.BertConfig(), ("pooler",)
        )
        _, tokenizer = bert_jax.load(minilm)
        bert_jax.save(base, params, tokenizer)
    return base


def measure(name: str, directory: Path, sentences: list[str]) -> dict[str, float]:
    """Run one contender."""
    if name == "ours":
        embed, forward, dense = ours(directory)
        batch_size = None
    else:
        embed, forward, dense = OTHERS[name](directory)
        batch_size = best_batch_size(embed, sentences)
    words = sum(len(sentence.split()) for sentence in sentences)
    # Warm: every shape is compiled, every buffer allocated.
    vectors = embed(sentences, batch_size)
    end_to_end = seconds(lambda: embed(sentences, batch_size))
    run, num_tokens = forward(sentences, batch_size)
    run()
    return {
        "words": words / end_to_end,
        "tokens": num_tokens / seconds(run),
        "dense": 8 * 128 / min(seconds(dense) for _ in range(6)),
        "batch_size": batch_size or 0,
        "checksum": float(np.abs(vectors).mean()),
    }


def seconds(run: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def best_batch_size(embed: Callable[..., Any], sentences: list[str]) -> int:
    """Try a sample at several batch sizes."""
    sample = sentences[:: max(len(sentences) // 200, 1)]
    embed(sample, 32)
    timings = {size: seconds(lambda s=size: embed(sample, s)) for size in BATCH_SIZES}
    return min(timings, key=lambda size: timings[size])


def sorted_batches(sentences: list[str], batch_size: int) -> list[list[str]]:
    """Put sentences of like length together, the longest first."""
    ordered = sorted(sentences, key=len, reverse=True)
    starts = range(0, len(ordered), batch_size)
    return [ordered[start : start + batch_size] for start in starts]


def dense_ids() -> np.ndarray:
    """Make a batch without padding."""
    return np.random.default_rng(0).integers(1000, 30000, (8, 128))


def ours(directory: Path) -> tuple[Callable, Callable, Callable]:
    """Embed with this project."""
    import jax

    import bert_jax
    from bert_jax.corpus import CORPUS
    from bert_jax.rows import collate, cut_row
    from embed_jax.corpus.batching import BatchShapes

    params, tokenizer = bert_jax.load(directory)

    def embed(sentences: list[str], _: int | None) -> np.ndarray:
        return bert_jax.embed_sentences(params, tokenizer, sentences, "last")

    def forward(sentences: list[str], _: int | None) -> tuple[Callable, int]:
        specials = tokenizer.cls_id, tokenizer.sep_id
        rows = [
            cut_row(p.ids, p.word_ids, *specials) for p in tokenizer.encode(sentences)
        ]
        shapes = BatchShapes(CORPUS.token_budgets["cpu"], tokenizer.max_length)
        batches = [
            collate([rows[i] for i in b.indices], 0, length=b.length, size=b.num_rows)
            for b in shapes.plan(list(map(len, rows)))
        ]

        def run() -> None:
            jax.block_until_ready([bert_jax.embed(params, b, "last") for b in batches])

        return run, sum(map(len, rows))

    ids = dense_ids().astype(np.int32)
    tokens = bert_jax.BertTokens(ids, 0 * ids, ids >= 0, ids, ids >= 0)
    tokens = jax.device_put(tokens)

    return embed, forward, lambda: jax.block_until_ready(bert_jax.embed(params, tokens))


def sentence_transformers(directory: Path) -> tuple[Callable, Callable, Callable]:
    """Embed with sentence-transformers; its forward pass is that of transformers."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(directory), device="cpu")

    def embed(sentences: list[str], batch_size: int) -> np.ndarray:
        return model.encode(sentences, batch_size=batch_size, show_progress_bar=False)

    _, forward, dense = transformers(directory)
    return embed, forward, dense


def transformers(
    directory: Path, dtype: str = "float32"
) -> tuple[Callable, Callable, Callable]:
    """Embed with transformers on PyTorch."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModel.from_pretrained(directory, dtype=getattr(torch, dtype)).eval()

    @torch.inference_mode()
    def encode(batch: Any) -> torch.Tensor:
        return model(**batch).last_hidden_state

    def tokenise(batch: list[str]) -> Any:
        return tokenizer(batch, padding=True, truncation=True, return_tensors="pt")

    def embed(sentences: list[str], batch_size: int) -> np.ndarray:
        means = []
        for texts in sorted_batches(sentences, batch_size):
            batch = tokenise(texts)
            mask = batch["attention_mask"][..., None]
            last = encode(batch).float()
            means.append((last * mask).sum(1) / mask.sum(1))
        return torch.cat(means).numpy()

    def forward(sentences: list[str], batch_size: int) -> tuple[Callable, int]:
        batches = [tokenise(texts) for texts in sorted_batches(sentences, batch_size)]
        num_tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        return lambda: [encode(batch) for batch in batches], num_tokens

    ids = torch.tensor(dense_ids())
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return embed, forward, lambda: encode(batch)


def transformers_bfloat16(directory: Path) -> tuple[Callable, Callable, Callable]:
    """Embed with transformers in bfloat16."""
    return transformers(directory, "bfloat16")


def onnxruntime(
    directory: Path, *, int8: bool = False
) -> tuple[Callable, Callable, Callable]:
    """Embed with ONNX Runtime, after its own transformer optimisations."""
    import onnxruntime as ort
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(512)
    options = ort.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.log_severity_level = 3
    path = str(export_onnx(directory, int8=int8))
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def tokenise(texts: list[str]) -> dict[str, np.ndarray]:
        encodings = tokenizer.encode_batch_fast(texts)
        return feeds(
            np.array([encoding.ids for encoding in encodings]),
            np.array([encoding.attention_mask for encoding in encodings]),
        )

    def feeds(ids: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
        kinds = {entry.name: entry.type for entry in session.get_inputs()}
        return {
            name: values[name].astype(np.int32 if "int32" in kind else np.int64)
            for name, kind in kinds.items()
        }

    def encode(batch: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(session.run(None, batch)[0])

    def embed(sentences: list[str], batch_size: int) -> np.ndarray:
        means = []
        for texts in sorted_batches(sentences, batch_size):
            batch = tokenise(texts)
            mask = batch["attention_mask"][..., None]
            means.append((encode(batch) * mask).sum(1) / mask.sum(1))
        return np.concatenate(means)

    def forward(sentences: list[str], batch_size: int) -> tuple[Callable, int]:
        batches = [tokenise(texts) for texts in sorted_batches(sentences, batch_size)]
        num_tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        return lambda: [encode(batch) for batch in batches], num_tokens

    ids = dense_ids()
    batch = feeds(ids, np.ones_like(ids))
    return embed, forward, lambda: encode(batch)


def onnxruntime_int8(directory: Path) -> tuple[Callable, Callable, Callable]:
    """Embed with ONNX Runtime, weights and activations in 8 bits."""
    return onnxruntime(directory, int8=True)


def export_onnx(directory: Path, *, int8: bool) -> Path:
    """Export, fuse and, if asked, quantise; once."""
    folder = WORK / "onnx" / directory.name
    plain, fused, small = (folder / f"{n}.onnx" for n in ("plain", "fused", "int8"))
    wanted = small if int8 else fused
    if wanted.exists():
        return wanted
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from transformers import AutoModel

    folder.mkdir(parents=True, exist_ok=True)
    model = AutoModel.from_pretrained(directory, attn_implementation="eager").eval()

    class LastLayer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.model(*inputs).last_hidden_state

    ids = torch.ones((2, 16), dtype=torch.long)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        LastLayer(),
        (ids, ids, ids * 0),
        str(plain),
        input_names=names,
        output_names=["last"],
        dynamic_axes={name: {0: "rows", 1: "tokens"} for name in [*names, "last"]},
        opset_version=17,
        dynamo=False,
    )
    config = model.config
    optimised = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=1,
    )
    optimised.save_model_to_file(str(fused))
    quantize_dynamic(
        fused,
        small,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    return wanted


OTHERS = {
    "sentence-transformers": sentence_transformers,
    "transformers": transformers,
    "transformers-bfloat16": transformers_bfloat16,
    "onnxruntime": onnxruntime,
    "onnxruntime-int8": onnxruntime_int8,
}


if __name__ == "__main__":
    main()
