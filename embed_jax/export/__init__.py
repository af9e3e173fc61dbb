# SPDX-License-Identifier: Apache-2.0
"""Export of a model with a layer spec as a StableHLO program, and its server file."""
