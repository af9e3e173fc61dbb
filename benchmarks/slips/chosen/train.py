# SPDX-License-Identifier: Apache-2.0
"""Slips in pretraining, its plans and its commands."""

from benchmarks.slips.chosen.suites import PRETRAIN, PROBE
from benchmarks.slips.slip import Slip

PLAN = (
    "tests/train/planning/test_plan_arithmetic.py",
    "tests/options/test_plan.py",
    "tests/train/test_plan.py",
)
EVALUATE = ("tests/train/test_evaluate.py", "tests/options/test_evaluate.py")

SLIPS = [
    Slip(
        behaviour="A plan counts the heads that are trained, and no others",
        before="""
            init = partial(bert_jax.init_params, config=config, heads=heads_trained)
        """,
        after="""
            init = partial(bert_jax.init_params, config=config)
        """,
        tests=PLAN,
    ),
    Slip(
        behaviour="To embed takes a third of what a step of training takes",
        before="model_flops=share * shapes.objective.encoder_flops_per_batch / 3,",
        after="model_flops=share * shapes.objective.encoder_flops_per_batch,",
        tests=(
            "tests/train/families/test_flops.py",
            *PLAN,
        ),
    ),
    Slip(
        behaviour="Beside the latest checkpoints the one with the lowest loss is kept",
        before="if loss <= before:",
        after="if loss >= before:",
        tests=PRETRAIN,
    ),
    Slip(
        behaviour="A run is measured as it was trained, with states carried or not",
        before="experiment, model=config, **asked.changed",
        after="_of_model(config, data), model=config, **asked.changed",
        tests=EVALUATE,
    ),
    Slip(
        behaviour="A BERT run is measured on rows such as it was trained on",
        before="rows = dataclasses.replace(experiment.objective, **changed)",
        after="rows = MaskedLmConfig(**changed)",
        tests=EVALUATE,
    ),
    Slip(
        behaviour="A line of the log has the means since the line before it",
        before="""
                for name, (total, weight) in self.sums.items()
                if weight
            }
            self.sums = {}
            return means
        """,
        after="""
                for name, (total, weight) in self.sums.items()
                if weight
            }
            return means
        """,
        tests=("tests/train/loop/test_progress.py", *PRETRAIN),
    ),
    Slip(
        behaviour="A model of four blocks gets the rows of BERT's table",
        before="TABLE_7 if num_blocks >= 4 else ELMO_ROWS",
        after="TABLE_7 if num_blocks > 4 else ELMO_ROWS",
        tests=("tests/train/test_ner.py", "tests/options/test_ner.py"),
    ),
    Slip(
        behaviour="An optimiser's schedule reaches zero at the last step",
        before="""
            schedule = schedule_of(config, num_steps)
            return transformation_of(config, schedule), schedule
        """,
        after="""
            schedule = schedule_of(config, num_steps + 1)
            return transformation_of(config, schedule), schedule
        """,
        tests=("tests/train/loop/test_optimizer.py", "tests/train/loop/test_step.py"),
    ),
    Slip(
        behaviour="The step at which the warm-up ends lies on the falling line",
        before="learning_rate * jnp.where(step < warmup_steps, rising, falling)",
        after="learning_rate * jnp.where(step <= warmup_steps, rising, falling)",
        tests=(
            "tests/train/loop/test_optimizer.py",
            "tests/train/loop/test_phases.py",
            "tests/oracles",
        ),
    ),
    Slip(
        behaviour="Layers are probed for universal tags unless others are asked for",
        before='tags: tuple[Literal["upos", "xpos"], ...] = ("upos",)',
        after='tags: tuple[Literal["upos", "xpos"], ...] = ("xpos",)',
        tests=PROBE,
    ),
    Slip(
        behaviour="The seed of a probe chooses the test documents of word senses",
        before="WsdTask(data, command.probe.num_seeds, command.probe.seed)",
        after="WsdTask(data, command.probe.num_seeds, 0)",
        tests=PROBE,
    ),
    Slip(
        behaviour="The specs of --layers are probed beside the single layers",
        before="Subject.load(command.model, command.layers, command.cache)",
        after="Subject.load(command.model, (), command.cache)",
        tests=PROBE,
    ),
    Slip(
        behaviour="The size of an array in a program is in bytes, not in numbers",
        before="return math.prod(self.axes) * jnp.dtype(self.dtype).itemsize",
        after="return math.prod(self.axes)",
        tests=(
            "tests/train/planning/test_traffic.py",
            "tests/train/planning/test_collectives.py",
            *PLAN,
        ),
    ),
    Slip(
        behaviour="Of what is reduced and scattered, a chip receives the others' parts",
        before="return float(collective.num_bytes * max(size - 1, 1))",
        after="return float(collective.num_bytes * max(size, 1))",
        tests=(
            "tests/train/planning/test_roofline.py",
            "tests/train/planning/test_collectives.py",
            *PLAN,
        ),
    ),
    Slip(
        behaviour="A BERT run that never measures needs no held-out text",
        before="""
            if data.held_out_every and experiment.eval_every:
                held_out = PieceStore.open(data.directory / HELD_OUT)
        """,
        after="""
            if data.held_out_every or experiment.eval_every:
                held_out = PieceStore.open(data.directory / HELD_OUT)
        """,
        tests=("tests/train/loop/test_loop.py", *PRETRAIN),
    ),
    Slip(
        behaviour="The gates of highways are divided among the devices",
        before="""
            r"(query|key|value|out|up|down|transform|dense|gate|projection)\\.kernel$"
        """,
        after="""
            r"(query|key|value|out|up|down|transform|dense|projection)\\.kernel$"
        """,
        tests=(
            "tests/train/loop/test_sharding.py",
            "tests/train/planning/test_collectives.py",
        ),
    ),
    Slip(
        behaviour="A run begins at step 0",
        before="""
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
        """,
        after="""
            step=jnp.ones((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
        """,
        tests=("tests/train/loop/test_step.py", *PRETRAIN),
    ),
    Slip(
        behaviour="Each step draws a dropout of its own",
        before="key = jax.random.fold_in(random_key(seed), state.step)",
        after="key = random_key(seed)",
        tests=("tests/train/loop/test_step.py", *PRETRAIN),
    ),
    Slip(
        behaviour="The parts that move most come first",
        before="return dict(parts.most_common())",
        after="return dict(parts)",
        tests=("tests/train/planning/test_traffic.py", *PLAN),
    ),
    Slip(
        behaviour="What gathers rows of a table reads all of their numbers, too",
        before="return lambda number: size if number == 0 else None, _all_of",
        after="return lambda number: size, _all_of",
        tests=("tests/train/planning/test_traffic.py", *PLAN),
    ),
    Slip(
        behaviour="To take an array out of a tuple moves nothing",
        before='"tuple", "get-tuple-element", "bitcast", "after-all",',
        after='"tuple", "bitcast", "after-all",',
        tests=("tests/train/planning/test_traffic.py", *PLAN),
    ),
]
