# SPDX-License-Identifier: Apache-2.0
"""What vectors are worth: tasks on top of an encoder, frozen or fine-tuned."""
