# SPDX-License-Identifier: Apache-2.0
"""What a run needs of machines, computed without them."""
