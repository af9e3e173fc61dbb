# SPDX-License-Identifier: Apache-2.0
"""What all commands have in common: how they start, stop, speak and end."""
