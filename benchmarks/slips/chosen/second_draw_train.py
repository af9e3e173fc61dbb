# SPDX-License-Identifier: Apache-2.0
"""Slips of a second draw, in pretraining and its experiments.

They were drawn with seed 20261130 after the tests were written for the first list, and
chosen by reading the source alone: no test was written for any of them before.
"""

from benchmarks.slips.chosen.suites import PREPARE, PRETRAIN
from benchmarks.slips.slip import Slip

CONFIGS = (
    "tests/configs",
    "tests/train/test_config.py",
    "tests/train/loop/test_phases.py",
    "tests/options/test_pretrain.py",
    "tests/options/test_prepare.py",
)

SLIPS = [
    Slip(
        behaviour="A run that diverges names the latest of its checkpoints",
        before="return self._manager.latest_step()",
        after="return min(self._manager.all_steps(), default=None)",
        tests=(
            *PRETRAIN,
            "tests/train/loop/test_hosts.py",
            "tests/train/loop/test_loop.py",
            "tests/train/loop/test_phases.py",
        ),
    ),
    Slip(
        behaviour="A run may be gone on with that logs at other steps",
        before="""
            FREE_FIELDS = (
                "log_every",
                "eval_every",
        """,
        after="""
            FREE_FIELDS = (
                "eval_every",
        """,
        tests=("tests/train/test_config.py", *PRETRAIN, "tests/train/test_export.py"),
    ),
    Slip(
        behaviour="Pieces that were added to a vocabulary are continued as well",
        before="return tokenizer.backend.get_vocab()",
        after="return tokenizer.backend.get_vocab(with_added_tokens=False)",
        tests=("tests/train/families/test_continuation.py", *PRETRAIN),
    ),
    Slip(
        behaviour="A curve that is gone on with keeps the point where it stopped",
        before="first = self._step + 1",
        after="first = self._step",
        tests=("tests/train/loop/test_curves.py", *PRETRAIN),
    ),
    Slip(
        behaviour="Ctrl-C lets the processes that encode text finish their shards",
        before="""
            _shards = shards
            # The process that started it is told, and waits for the shard.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        """,
        after="""
            _shards = shards
        """,
        tests=("tests/train/data/test_encoding.py", *PREPARE),
    ),
    Slip(
        behaviour="Joined shards of pieces keep the bounds of their documents",
        before="""
            part.tokens,
            np.diff(part.sentence_starts),
            np.diff(part.document_starts),
        """,
        after="""
            part.tokens,
            np.diff(part.sentence_starts),
            np.diff(part.sentence_starts),
        """,
        tests=(
            "tests/train/families/bert/test_pieces.py",
            "tests/train/data/test_store.py",
            *PREPARE,
            *PRETRAIN,
        ),
    ),
    Slip(
        behaviour="A given tokeniser may have more pieces than BERT's published one",
        before="tokenizer, _ = read_tokenizer_files(path)",
        after="""
            tokenizer, _ = read_tokenizer_files(path)
            assert tokenizer.vocab_size <= 30522
        """,
        tests=(
            "tests/train/families/bert/test_pieces.py",
            "tests/train/data/test_config.py",
            *PREPARE,
        ),
    ),
    Slip(
        behaviour="Numbers of a range have their places from 0",
        before="""
            place = np.arange(len(of)) - (np.cumsum(lengths) - lengths)[of]
        """,
        after="""
            place = np.arange(len(of)) - np.cumsum(lengths)[of]
        """,
        tests=(
            "tests/train/families/bert/test_instances.py",
            "tests/train/families/elmo/test_batches.py",
            "tests/train/families/bert/test_batches.py",
            "tests/train/data",
        ),
    ),
    Slip(
        behaviour="A store without words has the file of their characters too",
        before="""
            np.save(writer.path / CHARACTERS, np.zeros((0, max_characters), np.uint16))
            if words:
        """,
        after="""
            if words:
        """,
        tests=(
            "tests/train/families/elmo/test_words.py",
            "tests/train/families/elmo/test_batches.py",
            *PREPARE,
        ),
    ),
    Slip(
        behaviour="A run that has logged nothing yet has no lines",
        before="""
            path.read_bytes().splitlines() if path.exists() else []
        """,
        after="""
            path.read_bytes().splitlines()
        """,
        tests=(
            "tests/train/loop/test_progress.py",
            "tests/train/loop/test_curves.py",
            *PRETRAIN,
            "tests/options/test_train_quickstart.py",
        ),
    ),
    Slip(
        behaviour="Vectors of types that are divided among devices are gathered",
        before="return None if place.is_fully_replicated else partial(gather, place)",
        after="return partial(gather, place) if place.is_fully_replicated else None",
        tests=(
            "tests/train/families/elmo/test_objective.py",
            "tests/train/planning/test_collectives.py",
            "tests/train/loop/test_sharding.py",
            "tests/train/loop/test_step.py",
            "tests/train/planning/test_plan_arithmetic.py",
            "tests/train/test_plan.py",
            "tests/options/test_plan.py",
            "tests/train/loop/test_hosts.py",
        ),
        equivalent="on a CPU the compiler gathers them by itself: the same collectives "
        "and memory on meshes of 8x1, 2x2 and 1x8, and the same numbers",
    ),
    Slip(
        behaviour="Held-out text is read on from batch to batch",
        before="sums, carry = measure_batch(program, params, carry, batch)",
        after="sums, _ = measure_batch(program, params, carry, batch)",
        tests=(
            "tests/train/test_evaluate.py",
            "tests/train/families/elmo/test_objective.py",
            "tests/options/test_evaluate.py",
            "tests/train/test_export.py",
            "tests/train/loop/test_learning.py",
            "tests/train/planning/test_collectives.py",
            "tests/oracles",
            *PRETRAIN,
        ),
    ),
    Slip(
        behaviour="BERT's optimiser adds a millionth to the root",
        before="""
            epsilon: float = 1e-6
            weight_decay: float = 0.01
            max_norm: float = 1.0
            corrects_bias: bool = False
        """,
        after="""
            epsilon: float = 1e-8
            weight_decay: float = 0.01
            max_norm: float = 1.0
            corrects_bias: bool = False
        """,
        tests=(
            "tests/train/loop/test_optimizer.py",
            "tests/oracles",
            *CONFIGS,
        ),
    ),
    Slip(
        behaviour="The states of a row lie whole on one device",
        before="""
            spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
            carry = place_whole(
        """,
        after="""
            spread = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
            carry = place_whole(
        """,
        tests=(
            "tests/train/loop/test_sharding.py",
            "tests/train/loop/test_step.py",
            "tests/train/planning/test_collectives.py",
            "tests/train/loop/test_loop.py",
            "tests/train/loop/test_hosts.py",
            *PRETRAIN,
        ),
    ),
    Slip(
        behaviour="Text is cut into pieces by the tokeniser that is given",
        before="return PiecePreparation(self, say, given)",
        after="return PiecePreparation(self, say, None)",
        tests=PREPARE,
    ),
    Slip(
        behaviour="Held-out tokens are hidden alike, whatever the batch",
        before="self._draw(random_stream(HELD_OUT_SEED, MASKS, number), 1)",
        after="self._draw(random_stream(self._batch_size, MASKS, number), 1)",
        tests=(
            "tests/train/test_evaluate.py",
            "tests/train/families/bert/test_objective.py",
            "tests/train/families/bert/test_batches.py",
            "tests/train/families/bert/test_masking.py",
            *PRETRAIN,
            "tests/options/test_evaluate.py",
            "tests/train/test_export.py",
        ),
    ),
    Slip(
        behaviour="Of a fused computation with several results each is looked up",
        before="result = by_name.get(result.operands[number])",
        after="result = by_name.get(result.operands[0])",
        tests=(
            "tests/train/planning/test_traffic.py",
            "tests/train/planning/test_roofline.py",
            "tests/train/planning/test_collectives.py",
            "tests/train/planning/test_plan_arithmetic.py",
            "tests/options/test_plan.py",
            "tests/train/test_plan.py",
        ),
    ),
    Slip(
        behaviour="bert_novels has four heads",
        before="model=dataclasses.replace(tiny.model, num_blocks=4, num_heads=4),",
        after="model=dataclasses.replace(tiny.model, num_blocks=4),",
        tests=CONFIGS,
    ),
    Slip(
        behaviour="bert_tiny is trained without dropout on its attention",
        before="""
            dropout_rate=0.0,
            attention_dropout_rate=0.0,
            init_std=0.08,
        """,
        after="""
            dropout_rate=0.0,
            init_std=0.08,
        """,
        tests=CONFIGS,
    ),
    Slip(
        behaviour="elmo_novels has 64 filters of four characters",
        before="filters=((1, 16), (2, 32), (3, 64), (4, 64)), num_highways=1",
        after="filters=((1, 16), (2, 32), (3, 64), (4, 128)), num_highways=1",
        tests=CONFIGS,
    ),
]
