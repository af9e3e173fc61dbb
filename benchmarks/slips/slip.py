# SPDX-License-Identifier: Apache-2.0
"""What one slip is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Slip:
    """A piece of source text, and what a careless hand might make of it.

    Attributes:
      behaviour: what holds as long as the slip is not made; different for each slip.
      before: the text, wherever in the packages it stands. How it is indented and
        where its lines are broken does not matter, nor do comments in it or a comma
        at its end.
      after: what stands there instead; its first line is put where `before` begins,
        and the others are indented relative to that.
      tests: files and folders of tests that concern the behaviour, the quickest first.
      places: how often `before` is found; the slip is made in all of them.
      equivalent: why the slip changes nothing that can be observed, if that is so.
    """

    behaviour: str
    before: str
    after: str
    tests: tuple[str, ...]
    places: int = 1
    equivalent: str = ""
