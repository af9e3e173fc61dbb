# SPDX-License-Identifier: Apache-2.0
"""Files and directories: written whole, checked, fetched, and read from other tools."""
