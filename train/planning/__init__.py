# SPDX-License-Identifier: Apache-2.0
"""Analysis of compiled programs: memory, operations, traffic and collectives."""
