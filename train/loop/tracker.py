# SPDX-License-Identifier: Apache-2.0
"""Handing a run's points to code of the user's own, such as Weights & Biases."""

from collections.abc import Callable, Mapping

Track = Callable[[int, Mapping[str, float]], object]
"""Takes a step and its points by the names of their curves, such as "train/loss"."""


class Tracker:
    """Calls the user's function; what it raises never stops the run."""

    def __init__(self, track: Track | None, say: Callable[[str], None]) -> None:
        """Hand points to `track`, if there is one.

        Args:
          track: the function.
          say: takes a line about an error of it, of several in a row the first only.
        """
        self._track, self._say = track, say
        self._failed = False

    def write(self, step: int, points: Mapping[str, float]) -> None:
        """Hand over the points of a step."""
        if self._track is None:
            return
        try:
            self._track(step, dict(points))
        except Exception as error:
            if not self._failed:
                self._say(
                    f"the tracker failed at step {step}: {type(error).__name__}: "
                    f"{error}; the run goes on, and calls it again at the next point"
                )
            self._failed = True
        else:
            self._failed = False
