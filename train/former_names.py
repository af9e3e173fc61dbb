# SPDX-License-Identifier: Apache-2.0
"""What fields of an experiment were called when older runs were written."""

from typing import Any

# Former name to today's, at any depth of experiment.json.
FORMER_NAMES = {
    "longer_rows": "long_phase",
    "num_parts": "grad_accum_steps",
    "restarts": "reset_state",
    "window": "unroll_steps",
}


def with_current_names(settings: Any) -> Any:
    """Return what a run's experiment.json holds, every field by today's name.

    Args:
      settings: as JSON gives it; what is no object is returned as it is.
    """
    if isinstance(settings, dict):
        return {
            FORMER_NAMES.get(name, name): with_current_names(value)
            for name, value in settings.items()
        }
    return settings
