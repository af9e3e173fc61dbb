# SPDX-License-Identifier: Apache-2.0
"""What a model is trained to do: the biLM's and the masked language model's losses."""
