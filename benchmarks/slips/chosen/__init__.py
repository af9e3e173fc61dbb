# SPDX-License-Identifier: Apache-2.0
"""The slips, in functions that chance drew (`benchmarks.slips.draw`).

In each the likeliest slip of a hand that moves code was made. Passed over were the few
draws in which nothing can slip in silence: a type alone, an assertion, a message.
"""

from benchmarks.slips.chosen import bert, configs, elmo, embed, tasks, train, train_data

SLIPS = [
    *elmo.SLIPS,
    *bert.SLIPS,
    *embed.SLIPS,
    *train.SLIPS,
    *train_data.SLIPS,
    *tasks.SLIPS,
    *configs.SLIPS,
]
