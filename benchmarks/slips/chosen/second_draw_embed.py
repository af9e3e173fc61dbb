# SPDX-License-Identifier: Apache-2.0
"""Slips of a second draw, in what both families share.

They were drawn with seed 20261130 after the tests were written for the first list, and
chosen by reading the source alone: no test was written for any of them before.
"""

from benchmarks.slips.chosen.suites import COMMAND
from benchmarks.slips.slip import Slip

PARTS = (
    "tests/embed_jax/store/test_parts.py",
    "tests/embed_jax/store/test_store.py",
    "tests/end_to_end/test_several_processes.py",
)
CHECKPOINT = (
    "tests/embed_jax/files/test_tensorflow_checkpoint.py",
    "tests/elmo_jax/test_tensorflow.py",
    "tests/bert_jax/test_google.py",
)

SLIPS = [
    Slip(
        behaviour="The command shows how many rows are computed",
        before="""
            out_dtype=command.dtype,
            on_batch=progress.computed,
        """,
        after="""
            out_dtype=command.dtype,
        """,
        tests=("tests/embed_jax/corpus/test_progress.py", *COMMAND),
    ),
    Slip(
        behaviour="The docstrings of coroutines are text as well",
        before="""
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        """,
        after="node, ast.Module | ast.ClassDef | ast.FunctionDef",
        tests=(
            "tests/embed_jax/corpus/test_docstrings.py",
            "tests/train/data/test_sources.py",
            "tests/options/test_train_quickstart.py",
        ),
    ),
    Slip(
        behaviour="A paragraph that several files have is read once",
        before="""
            seen: set[str] = set()
            for path in paths:
                module = []
        """,
        after="""
            for path in paths:
                seen: set[str] = set()
                module = []
        """,
        tests=(
            "tests/embed_jax/corpus/test_docstrings.py",
            "tests/train/data/test_sources.py",
            "tests/options/test_train_quickstart.py",
            "tests/options/test_quickstart.py",
        ),
    ),
    Slip(
        behaviour="Axes of few points in many dimensions have length one",
        before="axes[:, column] = direction / np.linalg.norm(direction)",
        after="axes[:, column] = direction",
        tests=(
            "tests/embed_jax/explore/test_principal_components.py",
            "tests/embed_jax/explore/contexts",
            "tests/options/test_contexts.py",
            "tests/options/test_word_types.py",
            "tests/embed_jax/explore/test_word_types.py",
        ),
    ),
    Slip(
        behaviour="The number of a process is read from a variable of its own",
        before='_number(self.process_id, "JAX_PROCESS_ID"),',
        after='_number(self.process_id, "JAX_NUM_PROCESSES"),',
        tests=(
            "tests/embed_jax/hosts/test_processes.py",
            "tests/end_to_end/test_several_processes.py",
            *COMMAND,
            "tests/options/test_pretrain.py",
            "tests/train/loop/test_hosts.py",
        ),
    ),
    Slip(
        behaviour="Of two processes none is number 2",
        before="if not 0 <= index < number:",
        after="if not 0 <= index <= number:",
        tests=(
            "tests/embed_jax/hosts/test_processes.py",
            "tests/end_to_end/test_several_processes.py",
            "tests/options/test_embed_jax.py",
            "tests/options/test_prepare.py",
            "tests/options/test_plan.py",
            "tests/train/test_pretrain.py",
            "tests/train/loop/test_hosts.py",
        ),
    ),
    Slip(
        behaviour="Vectors of words split otherwise are not gone on with",
        before="""
            "compute": self.compute,
            "split": self.split,
            "long": self.long,
        """,
        after="""
            "compute": self.compute,
            "long": self.long,
        """,
        tests=(*COMMAND, "tests/end_to_end/test_several_processes.py"),
    ),
    Slip(
        behaviour="An index is opened only with the parts that it was made of",
        before="""
            check_sources(path, arrays, opened.parts)
            _check_parts(path, opened)
        """,
        after="""
            check_sources(path, arrays, opened.parts)
        """,
        tests=PARTS,
    ),
    Slip(
        behaviour="A store counts its rows with 64 bits",
        before='OFFSET = np.dtype("<i8")',
        after='OFFSET = np.dtype("<i4")',
        tests=(*PARTS, "tests/train/tasks/test_features.py", *COMMAND),
    ),
    Slip(
        behaviour="Who does not resume is told so first where parts of another run lie",
        before="if self._resume and name.checksum != self._checksum:",
        after="if name.checksum != self._checksum:",
        tests=(*PARTS, *COMMAND),
    ),
    Slip(
        behaviour="Who resumes and overwrites keeps the parts that are finished",
        before="""
            if not path.exists() or (self._overwrite and not self._resume):
                return self._open_writer(path, metadata)
        """,
        after="""
            if not path.exists() or self._overwrite:
                return self._open_writer(path, metadata)
        """,
        tests=(*PARTS, *COMMAND),
    ),
    Slip(
        behaviour="The name of a part has its number first and then how many there are",
        before="""
            checksum: str
            part: int
            num_parts: int
        """,
        after="""
            checksum: str
            num_parts: int
            part: int
        """,
        tests=PARTS,
    ),
    Slip(
        behaviour="Sentences without rows are yielded when all batches are back",
        before="""
                        yield from finished()
                yield from finished()
            while in_flight:
        """,
        after="""
                        yield from finished()
            while in_flight:
        """,
        tests=(
            "tests/embed_jax/corpus/test_stream.py",
            "tests/bert_jax/test_corpus.py",
            "tests/elmo_jax/test_corpus.py",
            "tests/elmo_jax/test_scoring.py",
            *COMMAND,
        ),
    ),
    Slip(
        behaviour="A field of a checkpoint's index that is cut short is refused",
        before="""
            if position != len(message):
                raise IndexError("a field lies outside its message")
            return fields
        """,
        after="""
            return fields
        """,
        tests=CHECKPOINT,
    ),
    Slip(
        behaviour="Lanes of a checksum are moved on by their bytes",
        before="registers = _move(left, 4 * left.size) ^ right",
        after="registers = _move(left, left.size) ^ right",
        tests=CHECKPOINT,
    ),
]
