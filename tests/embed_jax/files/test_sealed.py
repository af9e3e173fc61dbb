# SPDX-License-Identifier: Apache-2.0
"""A sealed object is read back if it is what was written, and not otherwise."""

import json

import pytest

from embed_jax.files.sealed import sealed, unsealed

CONTENT = {"size": 3, "names": ["a", "\udc80"], "deep": {"x": [1.5, None, True]}}


def test_what_is_sealed_is_read_back_through_json():
    read = json.loads(json.dumps(sealed(CONTENT | {"pair": (1, 2)})))
    assert unsealed(read, "a.json") == CONTENT | {"pair": [1, 2]}


def test_what_has_changed_is_refused():
    for change in ({"size": 4}, {"names": ["a"]}, {"more": 0}, {"checksum": "0"}):
        with pytest.raises(ValueError, match=r"a\.json is damaged: its checksum"):
            unsealed(sealed(CONTENT) | change, "a.json")


def test_what_an_earlier_version_wrote_is_read():
    assert unsealed(CONTENT, "a.json") == CONTENT
