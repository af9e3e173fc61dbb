# SPDX-License-Identifier: Apache-2.0
"""What training asks of each family of models."""
