# SPDX-License-Identifier: Apache-2.0
"""Configurations of the user's own, in a Python file anywhere."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from embed_jax.files.local_path import local_path

_SUFFIX = ".py"


def is_file_name(name: str) -> bool:
    """Return whether a command's CONFIG names a file, not an experiment of `configs/`.

    Example:
      >>> [is_file_name(name) for name in ("bert_tiny", "mine.py", "dir/mine")]
      [False, True, True]
    """
    return name.endswith(_SUFFIX) or len(Path(name).parts) > 1


def load_file(name: str) -> ModuleType:
    """Run a configuration file and return its module, the same one when asked again.

    Its folder is not searched for modules: a file there may be called as one of ours.

    Args:
      name: the path of the file.

    Raises:
      ValueError: there is no such file, it is no Python, or it has no `config()`.
    """
    path = local_path(name)
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; a configuration of your own is a Python file with "
            "a function config(), as those in configs/"
        )
    digest = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:12]
    module_name = f"own_config_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(
            f"{path}: a configuration is a Python file; its name ends in .py"
        )
    module = importlib.util.module_from_spec(spec)
    # Before it runs: classes that it defines are looked up there.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "config", None)):
            raise ValueError(
                f"{path} has no function config(), which returns the configuration; "
                "see the files of configs/"
            )
    except BaseException as error:
        del sys.modules[module_name]
        if isinstance(error, SyntaxError):
            raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from error
        raise
    return module
