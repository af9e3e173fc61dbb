# SPDX-License-Identifier: Apache-2.0
"""Python files of the user's own, anywhere: configurations, and trackers."""

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


def load_file(name: str, function: str = "config") -> ModuleType:
    """Run a file and return its module, the same one when asked again.

    Its folder is not searched for modules: a file there may be called as one of ours.

    Args:
      name: the path of the file.
      function: that it must have.

    Raises:
      ValueError: there is no such file, it is no Python, or it has no such function.
    """
    path = local_path(name)
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; it would be a Python file of your own with a "
            f"function {function}()"
        )
    digest = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:12]
    module_name = f"own_file_{digest}"
    if module_name in sys.modules:
        # It may have been run for another function.
        return _having(sys.modules[module_name], path, function)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(
            f"{path}: a file of your own is Python, and its name ends in .py"
        )
    module = importlib.util.module_from_spec(spec)
    # Before it runs: classes that it defines are looked up there.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
        return _having(module, path, function)
    except BaseException as error:
        del sys.modules[module_name]
        if isinstance(error, SyntaxError):
            raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from error
        raise


def _having(module: ModuleType, path: Path, function: str) -> ModuleType:
    if not callable(getattr(module, function, None)):
        raise ValueError(
            f"{path} has no function {function}(); docs/pretraining.md has examples"
        )
    return module
