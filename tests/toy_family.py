"""A third family, a bag of hashed words: what a family costs, on a page."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from embed_jax.corpus.embedder import CorpusEmbedder, Pipeline, Request
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.stream import Item
from embed_jax.devices.mesh import replicate, shard_rows
from embed_jax.encoder import Encoder
from embed_jax.export.spec import Exportable
from embed_jax.files.finite import check_finite
from embed_jax.files.hub import fetch_snapshot
from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.pooling import pool_sentence, pool_words
from embed_jax.layers.select import select_layers
from tests import toy_text_reader

FILES = ("config.json", "table.npy")


class ToyConfig(NamedTuple):
    num_buckets: int = 64
    layer_dim: int = 8
    num_blocks: int = 1


class ToyParams(flax.struct.PyTreeNode):
    table: jax.Array
    config: ToyConfig = flax.struct.field(pytree_node=False)


def init_params(config: ToyConfig) -> ToyParams:
    shape = config.num_buckets, config.layer_dim
    return ToyParams(jax.random.normal(jax.random.key(0), shape), config)


def load(path: str) -> tuple[ToyParams, ToyConfig]:
    files = Path(path) if Path(path).is_dir() else fetch_snapshot(path, FILES)
    config = ToyConfig(**json.loads((files / "config.json").read_text())["toy"])
    table = np.load(files / "table.npy", allow_pickle=False)
    check_finite(table, "table", str(files / "table.npy"))
    return ToyParams(jnp.asarray(table), config), config


def save(path: Path, params: ToyParams) -> str:
    path.mkdir(parents=True)
    settings = {"model_type": "toy", "toy": params.config._asdict()}
    (path / "config.json").write_text(json.dumps(settings))
    np.save(path / "table.npy", np.asarray(params.table))
    return str(path)


def vectors_of(params: ToyParams, ids: Any, spec: LayerSpec, mix: Any) -> jax.Array:
    """Layer 0 is the row of a word's bucket, layer 1 its tanh; -1 is padding."""
    layers = {0: params.table[ids], 1: jnp.tanh(params.table[ids])}
    return select_layers(layers, spec, params.config.num_blocks, ids >= 0, mix, "row")


def open_pipeline(
    params: ToyParams,
    config: ToyConfig,
    sentences: Iterable[Sentence],
    request: Request,
) -> Pipeline:
    options, mesh = request.options, request.options.mesh
    placed = replicate(params, mesh) if mesh else params
    longest = options.max_length or 512

    def items() -> Iterator[Item]:
        for index, sentence in enumerate(sentences):
            words = sentence.split() if isinstance(sentence, str) else list(sentence)
            if len(words) > longest and options.long != "truncate":
                raise ValueError(f"sentence {index} has {len(words)} words")
            read = words[:longest]
            rows = [read] if read or request.level == "sentences" else []
            yield Item(rows, words, tuple(range(len(read), len(words))))

    def run(rows: Any, batch: Any) -> jax.Array:
        shape = batch.num_rows, batch.length
        ids = toy_text_reader.ids_of(rows, config.num_buckets, shape)
        ids = shard_rows(ids, mesh) if mesh else jnp.asarray(ids)
        vectors = vectors_of(placed, ids, request.spec, options.mix)
        if request.level == "sentences":
            return pool_sentence(vectors, ids >= 0, request.pool)
        places = jnp.where(ids >= 0, jnp.arange(ids.shape[1])[None], -1)
        return pool_words(vectors, places, request.pool)

    def assemble(item: Item, parts: list[np.ndarray]) -> np.ndarray:
        if request.level == "sentences":
            return np.stack(parts).astype(jnp.dtype(options.out_dtype))
        shape = len(item.words), request.width
        vectors = np.zeros(shape, jnp.dtype(options.out_dtype))
        for row, part in zip(item.rows, parts, strict=True):
            vectors[: len(row)] = part[: len(row)]
        return vectors

    return Pipeline(items(), run, assemble, request.shapes(longest).plan)


def export(
    params: ToyParams, config: ToyConfig, spec: LayerSpec, dtype: Any
) -> Exportable:
    def function(weights: Any, inputs: Mapping[str, Any]) -> jax.Array:
        return vectors_of(ToyParams(weights, config), inputs["ids"], spec, None)

    return Exportable(
        function,
        weights=params.table,
        inputs={"ids": ("B, T", "int32")},
        constraints=("B >= 1", "T >= 1"),
        save_text=lambda directory: {"num_buckets": config.num_buckets},
        reader=Path(toy_text_reader.__file__),
    )


CORPUS = CorpusEmbedder(open_pipeline, token_budgets={"cpu": 256, "default": 1024})
ENCODER = Encoder(name="toy", load=load, corpus=CORPUS, export=export)
