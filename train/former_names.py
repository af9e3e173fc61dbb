# SPDX-License-Identifier: Apache-2.0
"""Former names of the fields of an experiment, in the files of older runs."""

from typing import Any

# Former name to today's, at any depth of experiment.json.
FORMER_NAMES = {
    "longer_rows": "long_phase",
    "num_parts": "grad_accum_steps",
    "restarts": "reset_state",
    "window": "unroll_steps",
}


def with_current_names(settings: Any) -> Any:
    """Return the content of a run's experiment.json with current field names.

    Args:
      settings: the parsed JSON; values that are not objects are returned unchanged.
    """
    if isinstance(settings, dict):
        return {
            FORMER_NAMES.get(name, name): with_current_names(value)
            for name, value in settings.items()
        }
    return settings
