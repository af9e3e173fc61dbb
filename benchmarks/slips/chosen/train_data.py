# SPDX-License-Identifier: Apache-2.0
"""Slips in the text that models are pretrained on."""

from benchmarks.slips.chosen.suites import PREPARE
from benchmarks.slips.slip import Slip

INSTANCES = (
    "tests/train/families/bert/test_instances.py",
    "tests/train/families/bert/test_batches.py",
)

SLIPS = [
    Slip(
        behaviour="Weights that lie beside a tokeniser do not make it another one",
        before="""
            [p for p in sorted(path.iterdir()) if p.suffix in _TOKENIZER_FILES]
        """,
        after="""
            [p for p in sorted(path.iterdir()) if p.is_file()]
        """,
        tests=(
            "tests/train/data/test_config.py",
            *PREPARE,
            "tests/train/test_config.py",
        ),
    ),
    Slip(
        behaviour="The last document of a file needs no blank line after it",
        before="""
                document = []
            if document:
                yield "\\n".join(document)
        """,
        after="""
                document = []
        """,
        tests=("tests/train/data/test_sources.py", *PREPARE),
    ),
    Slip(
        behaviour="A line of a file of sentences is one sentence, whatever stops in it",
        before="""
            if form != "prose":
                return parts
            return [sentence for part in parts for sentence in _split(part)]
        """,
        after="""
            return [sentence for part in parts for sentence in _split(part)]
        """,
        tests=("tests/train/data/test_sources.py", *PREPARE),
    ),
    Slip(
        behaviour="A sentence that fills a row exactly is not cut",
        before="""
            while end - begin > self._room:
                self._add_single(begin, self._room)
        """,
        after="""
            while end - begin >= self._room:
                self._add_single(begin, self._room)
        """,
        tests=INSTANCES,
    ),
    Slip(
        behaviour="Pairs for sentence order are no pairs for the next sentence",
        before='cutter.cut_pairs(document, is_nsp=pairs == "nsp")',
        after="cutter.cut_pairs(document, is_nsp=True)",
        tests=INSTANCES,
    ),
    Slip(
        behaviour="The first step reads the first batch",
        before="return self._batches[int(number)]",
        after="return self._batches[int(number) + 1]",
        tests=(
            "tests/train/data/test_loader.py",
            "tests/train/test_pretrain.py",
            "tests/train/test_resume.py",
            "tests/train/data",
        ),
    ),
    Slip(
        behaviour="Pairs of the first class count in the loss of pairs",
        before="label_weights[row, place] = chosen.labels >= 0",
        after="label_weights[row, place] = chosen.labels > 0",
        tests=(
            "tests/train/families/bert/test_batches.py",
            "tests/train/families/bert/test_objective.py",
        ),
    ),
    Slip(
        behaviour="SentencePiece for uncased text folds capitals",
        before='normalization_rule_name="nmt_nfkc" if cased else "nmt_nfkc_cf",',
        after='normalization_rule_name="nmt_nfkc",',
        tests=("tests/train/families/bert/test_pieces.py", *PREPARE),
    ),
    Slip(
        behaviour="The paragraphs of prose are those between blank lines",
        before="return forms.paragraphs(self._text(index), self.form)",
        after='return forms.paragraphs(self._text(index), "documents")',
        tests=(
            "tests/train/data/test_sources.py",
            "tests/train/families/bert/test_pieces.py",
            *PREPARE,
        ),
    ),
    Slip(
        behaviour="An empty file of a TFDS data set is refused",
        before="if not file.is_file() or not file.stat().st_size:",
        after="if not file.is_file():",
        tests=("tests/train/data/test_sources.py", *PREPARE),
    ),
    Slip(
        behaviour="An array of another number of axes is no file of a store",
        before="""
            if array.ndim != ndim:
                raise ValueError(f"{path} holds no array of {ndim} axes; {REMEDY}")
        """,
        after="",
        tests=(
            "tests/train/data/test_store.py",
            "tests/train/families/elmo/test_words.py",
        ),
    ),
    Slip(
        behaviour="A text without words makes a store without words",
        before="with written_store(path, max(len(words), 1)) as writer:",
        after="with written_store(path, len(words)) as writer:",
        tests=("tests/train/families/elmo/test_words.py", *PREPARE),
        equivalent="the ids of no words have the smallest type either way",
    ),
]
