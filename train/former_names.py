# SPDX-License-Identifier: Apache-2.0
"""Former names of the fields of an experiment, in the files of older runs."""

from collections.abc import Mapping
from typing import Any


def with_current_names(settings: Any, former_names: Mapping[str, str]) -> Any:
    """Return the content of a run's experiment.json with current field names.

    Args:
      settings: the parsed JSON; values that are not objects are returned unchanged.
      former_names: of the experiment's class, which alone knows what its fields were
        called: another family may have a field of such a name today.
    """
    if isinstance(settings, dict):
        return {
            former_names.get(name, name): with_current_names(value, former_names)
            for name, value in settings.items()
        }
    return settings
