# SPDX-License-Identifier: Apache-2.0
"""A model and a spec as a StableHLO program, and the file that serves it."""
