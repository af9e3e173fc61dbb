# SPDX-License-Identifier: Apache-2.0
"""What a model of sentence-transformers does on top of its encoder (modules.json).

It is not done here. A vector that is compared with that library's, or with an index
made by it, must be made in the same way, so what is missing is said once.
"""

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embed_jax.files.json_file import parse_json, read_json

MODULES = "modules.json"
FILES = (MODULES, "sentence_bert_config.json", "*_Pooling/config.json")

_MODES = {
    "cls_token": "cls",
    "mean_tokens": "mean",
    "max_tokens": "max",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
}
_OURS = set(_MODES.values())


@functools.cache
def warn_of_modules(directory: Path, max_length: int) -> None:
    """Log once what the model's own sentence vectors are, where `mean` is not it.

    Args:
      directory: of the model; without a modules.json nothing is said.
      max_length: longest row of the model in tokens.

    Raises:
      ValueError: modules.json, or a file that it names, is no JSON of that kind.
    """
    if not (directory / MODULES).is_file():
        return
    steps = sentence_steps(directory, max_length)
    if steps != ["the mean of its pieces"]:
        logging.getLogger(__name__).warning(
            "%s: this model's own vector of a sentence is %s; embed_sentences gives "
            'what pool= says, by default "mean", of all of a text, divided by its '
            "length with normalize=True, and no more",
            directory / MODULES,
            ", then ".join(steps),
        )


def sentence_steps(directory: Path, max_length: int) -> list[str]:
    """Return in words how sentence-transformers makes a vector with a model.

    Raises:
      ValueError: as `warn_of_modules`.
    """
    source = directory / MODULES
    modules = parse_json(source.read_bytes(), str(source))
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise ValueError(f"{source} holds no list of modules")
    steps = []
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        folder = directory / str(module.get("path", ""))
        match kind:
            case "Transformer":
                steps += _before(directory, max_length)
            case "Pooling":
                steps.append(_pooling(folder))
            case "Normalize":
                steps.append("divided by its length (Normalize)")
            case "Dense":
                steps.append("put through a dense layer (Dense)")
            case _:
                steps.append(f"changed by {kind or 'a module without a type'}")
    return steps


def _before(directory: Path, max_length: int) -> list[str]:
    path = directory / "sentence_bert_config.json"
    settings = read_json(path) if path.is_file() else {}
    steps = []
    if settings.get("do_lower_case") is True:
        steps.append("of the text in lower case")
    longest = settings.get("max_seq_length")
    if isinstance(longest, int) and longest < max_length:
        steps.append(f"of its first {longest} tokens")
    return steps


def _pooling(folder: Path) -> str:
    path = folder / "config.json"
    if not path.is_file():
        return f"pooled as {path} would say, which is missing"
    names = _pooling_names(read_json(path))
    if names == ["mean"]:
        return "the mean of its pieces"
    shown = " beside ".join(
        f'pool="{name}"' if name in _OURS else f"the pooling {name}" for name in names
    )
    return shown or f"pooled in a way that {path} does not name"


def _pooling_names(settings: Mapping[str, Any]) -> list[str]:
    named = settings.get("pooling_mode")
    if isinstance(named, str):
        return [named.removesuffix("_tokens").removesuffix("_token")]
    modes = [
        key.removeprefix("pooling_mode_")
        for key, value in settings.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    return [_MODES.get(mode, mode) for mode in modes]
