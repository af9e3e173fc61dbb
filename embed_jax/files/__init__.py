# SPDX-License-Identifier: Apache-2.0
"""Atomic output of files and directories, the hub, and formats of other tools."""
