# SPDX-License-Identifier: Apache-2.0
"""The slips, in functions that chance drew (`benchmarks.slips.draw`).

In each the likeliest slip of a hand that moves code was made. Passed over were the few
draws in which nothing can slip in silence: a type alone, an assertion, a message.

The second draw (seed 20261130) came after the tests were written for the first one.
"""

from benchmarks.slips.chosen import (
    bert,
    configs,
    elmo,
    embed,
    second_draw,
    second_draw_embed,
    second_draw_tasks,
    second_draw_train,
    tasks,
    train,
    train_data,
)

SLIPS = [
    *elmo.SLIPS,
    *bert.SLIPS,
    *embed.SLIPS,
    *train.SLIPS,
    *train_data.SLIPS,
    *tasks.SLIPS,
    *configs.SLIPS,
    *second_draw.SLIPS,
    *second_draw_embed.SLIPS,
    *second_draw_train.SLIPS,
    *second_draw_tasks.SLIPS,
]
