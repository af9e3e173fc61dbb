# SPDX-License-Identifier: Apache-2.0
"""One program for each claim; see RESULTS.md for what they said and where."""
