# SPDX-License-Identifier: Apache-2.0
"""Slips of a second draw, in what is trained and measured on top of an encoder.

They were drawn with seed 20261130 after the tests were written for the first list, and
chosen by reading the source alone: no test was written for any of them before.
"""

from benchmarks.slips.chosen.suites import FINETUNE, NER, PROBE
from benchmarks.slips.slip import Slip

SLIPS = [
    Slip(
        behaviour="The seconds of the taggers are told from those of the features",
        before="""
            f"{seconds[0]:.0f} for the features and {seconds[1]:.0f} for the "
        """,
        after="""
            f"{seconds[0]:.0f} for the features and {seconds[0]:.0f} for the "
        """,
        tests=("tests/train/test_ner.py", "tests/options/test_ner.py"),
    ),
    Slip(
        behaviour="A probe that fails ends the command with its status",
        before="""
                return make[name]()


            if __name__ == "__main__":
                sys.exit(main())
        """,
        after="""
                return make[name]()


            if __name__ == "__main__":
                main()
        """,
        tests=("tests/end_to_end/test_exit.py", *PROBE),
    ),
    Slip(
        behaviour="The documents of a file of tags are numbered from 0, without gaps",
        before="document = sentences[-1].document + 1 if sentences else 0",
        after="document += 1",
        tests=(
            "tests/train/tasks/data/test_conll.py",
            *NER,
            "tests/train/test_finetune.py",
        ),
    ),
    Slip(
        behaviour="Blank lines between documents take no part of what is kept",
        before="""
            [np.asarray(next(remaining)) if line else nothing for line in lines]
        """,
        after="""
            [np.asarray(next(remaining, nothing)) for line in lines]
        """,
        tests=(
            "tests/train/tasks/test_features.py",
            "tests/train/tasks/probes/test_word_senses.py",
            "tests/train/tasks/probes/test_terms.py",
            *PROBE,
        ),
    ),
    Slip(
        behaviour="A fine-tuned biLM is saved as it was trained",
        before="elmo_jax.save(folder, params, self._tokenizer)",
        after="elmo_jax.save(folder, self._params, self._tokenizer)",
        tests=FINETUNE,
    ),
    Slip(
        behaviour="A head that its settings do not describe is refused",
        before="""
            if jax.tree.map(np.shape, head) != jax.tree.map(np.shape, wanted):
                raise ValueError(
                    f"{directory / HEAD} is not the head that {source} describes"
                )
            return classifier
        """,
        after="""
            return classifier
        """,
        tests=FINETUNE,
    ),
    Slip(
        behaviour="Neither warm-up nor dropout takes all",
        before="""
            rate = getattr(config, name)
            if rate is not None and not 0 <= rate < 1:
        """,
        after="""
            rate = getattr(config, name)
            if rate is not None and not 0 <= rate <= 1:
        """,
        tests=FINETUNE,
    ),
    Slip(
        behaviour="The table of parts of speech begins with the most frequent tag",
        before="""
            f"Parts of speech by layer of {subject.name}",
            [baseline, *rows],
        """,
        after="""
            f"Parts of speech by layer of {subject.name}",
            rows,
        """,
        tests=("tests/train/tasks/probes/test_part_of_speech.py", *PROBE),
    ),
    Slip(
        behaviour="Rows are read with their notes",
        before="""
            {metric: _scores(values) for metric, values in row["scores"].items()},
            row["note"],
        """,
        after="""
            {metric: _scores(values) for metric, values in row["scores"].items()},
        """,
        tests=(
            "tests/train/tasks/test_results.py",
            "tests/train/loop/test_sparse_rows.py",
            *PROBE,
            "tests/train/test_ner.py",
        ),
    ),
    Slip(
        behaviour="Rows that fill up a batch have no tags",
        before="np.pad(rows.tags, missing, constant_values=PADDING),",
        after="np.pad(rows.tags, missing),",
        tests=("tests/train/tasks/ner/test_tag_batches.py", *NER),
    ),
    Slip(
        behaviour="Taggers predict with the weights that were best on dev",
        before="return Fitted(kept, best, best_epoch, history)",
        after="return Fitted(state.params, best, best_epoch, history)",
        tests=(*NER, "tests/train/tasks/ner/test_trained_specs.py"),
    ),
    Slip(
        behaviour="Ctrl-C is left to the process that started those that train taggers",
        before="""
            # Ctrl-C reaches the whole group; the process that started this one ends it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            keep_compilations()
        """,
        after="""
            keep_compilations()
        """,
        tests=("tests/train/tasks/ner/test_trained_specs.py", *NER),
    ),
    Slip(
        behaviour="finetune_elmo_ner lets the encoder learn a tenth as fast",
        before="encoder_learning_rate=5e-4,",
        after="encoder_learning_rate=5e-5,",
        tests=(
            "tests/configs",
            "tests/train/test_finetune.py",
            "tests/options/test_finetune.py",
        ),
    ),
]
