# SPDX-License-Identifier: Apache-2.0
"""Devices: the mesh, the platform, the precision of products, compiled programs."""
