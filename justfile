# The checks, each by a short name; CONTRIBUTING.md has the commands themselves.

# List the recipes.
default:
    @just --list

# Lint and format.
lint:
    ruff check .
    ruff format --check .

# Types, and which package imports which.
types:
    basedpyright
    lint-imports

# The fast tests.
fast:
    python -m pytest -q -n auto -m "not slow and not gpu"

# The pages and the API reference, into docs/_build.
docs:
    sphinx-build -q -W --keep-going -b html docs docs/_build

# Everything that CI runs, in an environment of its own.
all:
    .ci/run
