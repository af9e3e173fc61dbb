# SPDX-License-Identifier: Apache-2.0
"""What training asks of a family of models, and each family's answers.

`family` says what is asked, `registry` finds who answers; `bert` and `elmo` are two.
"""
