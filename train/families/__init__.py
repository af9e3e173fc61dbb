# SPDX-License-Identifier: Apache-2.0
"""What training asks of a family of models, and each family's answers.

`family` says what is asked and `registry` finds who answers, each in its own package.
"""
