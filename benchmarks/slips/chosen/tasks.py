# SPDX-License-Identifier: Apache-2.0
"""Slips in what is trained and measured on top of an encoder."""

from benchmarks.slips.chosen.suites import FINETUNE, NER, PROBE
from benchmarks.slips.slip import Slip

SLIPS = [
    Slip(
        behaviour="The first label is learned like the others",
        before="IGNORED = -1",
        after="IGNORED = 0",
        tests=("tests/train/tasks/finetune/test_classification.py", *FINETUNE),
    ),
    Slip(
        behaviour="A word that the encoder cannot read is outside of all entities",
        before='unread = "O" if "O" in classifier.labels else classifier.labels[0]',
        after="unread = classifier.labels[0]",
        tests=FINETUNE,
    ),
    Slip(
        behaviour="What is wrong in a file of tags is said with its line, from 1",
        before="""
            for number, text in enumerate(lines, start=1):
                cells = _cells(text, separator)
                if not text.strip(_BLANKS):
        """,
        after="""
            for number, text in enumerate(lines):
                cells = _cells(text, separator)
                if not text.strip(_BLANKS):
        """,
        tests=("tests/train/tasks/data/test_conll.py",),
    ),
    Slip(
        behaviour="A biLM with a classifier is loaded with its longest row",
        before="""
            layers=settings["layers"],
            max_length=settings["max_length"],
        """,
        after="""
            layers=settings["layers"],
        """,
        tests=(
            "tests/train/families/test_finetuned_models.py",
            "tests/train/test_finetune.py",
            "tests/options/test_finetune.py",
        ),
    ),
    Slip(
        behaviour="Half of a biLM's mixed vectors are dropped, as published",
        before="DROPOUT_RATE = 0.5",
        after="DROPOUT_RATE = 0.1",
        tests=(
            "tests/train/families/test_finetuned_models.py",
            "tests/train/test_finetune.py",
            "tests/configs/test_published.py",
        ),
    ),
    Slip(
        behaviour="The encoder learns at a rate of its own where it is given one",
        before='"encoder": config.encoder_learning_rate or config.learning_rate,',
        after='"encoder": config.learning_rate,',
        tests=FINETUNE,
    ),
    Slip(
        behaviour="A mean loss is one of the labels that count, not of all places",
        before="""
            return jnp.sum(jnp.where(counted, each, 0)) / jnp.maximum(
                jnp.sum(counted), 1
            )
        """,
        after="""
            return jnp.mean(jnp.where(counted, each, 0))
        """,
        tests=FINETUNE,
    ),
    Slip(
        behaviour="A curve of layers is drawn through the means over the seeds",
        before="[statistics.fmean(of_seeds) for of_seeds in values],",
        after="[of_seeds[0] for of_seeds in values],",
        tests=("tests/train/tasks/probes/test_layer_curves.py", *PROBE),
    ),
    Slip(
        behaviour="Of epochs that are as good on dev, a task keeps the first",
        before="better = np.asarray(score > best)",
        after="better = np.asarray(score >= best)",
        tests=("tests/train/test_fit.py",),
    ),
    Slip(
        behaviour="A probe's vectors are standardised by those of train",
        before='(jnp.asarray(term)) for term in splits["train"].terms]',
        after='(jnp.asarray(term)) for term in splits["dev"].terms]',
        tests=("tests/train/tasks/probes/test_linear_probe.py", *PROBE),
    ),
    Slip(
        behaviour="The most frequent tag of a word is counted in train",
        before='most_frequent_tags(words["train"], tags["train"], words[split])',
        after="most_frequent_tags(words[split], tags[split], words[split])",
        tests=("tests/train/tasks/probes/test_part_of_speech.py", *PROBE),
    ),
    Slip(
        behaviour="The shares of layers in a mix are told as they are learnt",
        before="np.asarray(jax.nn.softmax(logits))",
        after="np.asarray(logits)",
        tests=("tests/train/tasks/probes/test_linear_probe.py", *PROBE),
    ),
    Slip(
        behaviour="Word senses are measured with the specs beside the single layers",
        before="""
            for spec in (*subject.layers, *subject.specs):
                started = time.monotonic()
                scores: dict[str, tuple[float, ...]] = {}
                for name, corpus in self._corpora.items():
        """,
        after="""
            for spec in subject.layers:
                started = time.monotonic()
                scores: dict[str, tuple[float, ...]] = {}
                for name, corpus in self._corpora.items():
        """,
        tests=("tests/train/tasks/probes/test_word_senses.py", *PROBE),
    ),
    Slip(
        behaviour="Cosines are computed in float64",
        before="""
            first, second = first.astype(np.float64), second.astype(np.float64)
            products = (first * second).sum(axis=1)
        """,
        after="""
            products = (first * second).sum(axis=1)
        """,
        tests=("tests/train/tasks/probes/test_similarity.py", *PROBE),
    ),
    Slip(
        behaviour="No more sentences share a row than are allowed",
        before="pack(lengths, row_length, sentences_a_row or row_length)",
        after="pack(lengths, row_length, row_length)",
        tests=("tests/train/tasks/ner/test_tag_batches.py", *NER),
    ),
    Slip(
        behaviour="The tags of blank words are left out with them",
        before="labels[int(example[TAGS][place])] for place in kept",
        after="labels[int(example[TAGS][place])] for place in range(len(kept))",
        tests=(
            "tests/train/tasks/data/test_conll.py",
            "tests/train/tasks/ner/test_tagging.py",
            "tests/train/test_ner.py",
        ),
    ),
    Slip(
        behaviour="A tagger is trained with the dropout of its configuration",
        before="dropout_rate=config.dropout_rate, has_crf=config.decoder ==",
        after="dropout_rate=0.0, has_crf=config.decoder ==",
        tests=NER,
    ),
    Slip(
        behaviour="A tagger with a CRF answers with the best path",
        before="""
            if fixed.decoder == "crf":
                path = viterbi(scores, transitions, mask)
                return jnp.where(best < 0, best, path)
            return best
        """,
        after="""
            return best
        """,
        tests=(
            "tests/train/tasks/ner/test_tagging.py",
            "tests/train/tasks/ner/test_crf.py",
            *NER,
        ),
    ),
    Slip(
        behaviour="A tagger that is read again has its test scores, not those of dev",
        before='"test": tuple(record["test"]),',
        after='"test": tuple(record["dev"]),',
        tests=("tests/train/tasks/ner/test_trained_specs.py", *NER),
    ),
    Slip(
        behaviour="A sense with many examples is no nearer for that",
        before="directions = sums / np.maximum(norms, np.finfo(np.float32).tiny)",
        after="directions = sums",
        tests=("tests/train/tasks/probes/test_word_senses.py", *PROBE),
    ),
]
