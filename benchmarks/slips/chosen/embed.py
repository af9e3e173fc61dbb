# SPDX-License-Identifier: Apache-2.0
"""Slips in what both families share: the commands, the store, the contexts."""

from benchmarks.slips.chosen.suites import COMMAND
from benchmarks.slips.slip import Slip

CONTEXTS = ("tests/embed_jax/explore/contexts", "tests/options/test_contexts.py")
STORE = ("tests/embed_jax/store/test_store.py", "tests/embed_jax/store/test_parts.py")

SLIPS = [
    Slip(
        behaviour="Vectors can be stored in bfloat16",
        before='DTYPE = Literal["float32", "float16", "bfloat16"]',
        after='DTYPE = Literal["float32", "float16"]',
        tests=COMMAND,
    ),
    Slip(
        behaviour="A file that one process cannot read ends the others too",
        before="""
            try:
                yield
            except (ValueError, OSError) as error:
                failure = error
        """,
        after="""
            try:
                yield
            except ValueError as error:
                failure = error
        """,
        tests=(
            "tests/embed_jax/hosts/test_consensus.py",
            "tests/embed_jax/hosts/test_processes.py",
            "tests/train/loop/test_hosts.py",
        ),
    ),
    Slip(
        behaviour="The clusters of contexts are drawn with the seed of the command",
        before="command.clusters, seed=command.seed",
        after="command.clusters",
        tests=CONTEXTS,
    ),
    Slip(
        behaviour="An empty cluster takes a point that is not alone in its own",
        before="farthest = np.where(sizes[new] > 1, squares, -1).argmax()",
        after="farthest = np.where(sizes[new] >= 1, squares, -1).argmax()",
        tests=("tests/embed_jax/explore/contexts/test_clustering.py",),
    ),
    Slip(
        behaviour="Words that begin alike are offered only for one of four letters",
        before="if len(folded) > 3 and same_form(other).startswith(folded[:-1])",
        after="if len(folded) >= 3 and same_form(other).startswith(folded[:-1])",
        tests=("tests/embed_jax/explore/contexts/test_occurrences.py", *CONTEXTS),
    ),
    Slip(
        behaviour="A long context keeps as many whole words after the word as fit",
        before='after = after[:REACH].rpartition(" ")[0] + " …"',
        after='after = after[:REACH].partition(" ")[0] + " …"',
        tests=("tests/embed_jax/explore/contexts/test_occurrences.py", *CONTEXTS),
    ),
    Slip(
        behaviour="Lines of contexts are numbered from 0 where they are read",
        before="""
            for index, line in enumerate(read_sentences(corpus, layout)):
                if following is None:
        """,
        after="""
            for index, line in enumerate(read_sentences(corpus, layout), start=1):
                if following is None:
        """,
        tests=("tests/embed_jax/explore/contexts/test_occurrences.py", *CONTEXTS),
    ),
    Slip(
        behaviour="An empty folder may be replaced, though it is no model",
        before="if not any(path.iterdir()):",
        after="if not path:",
        tests=(
            "tests/embed_jax/files/test_directory.py",
            "tests/bert_jax/test_load.py",
            "tests/elmo_jax/test_load.py",
            "tests/elmo_jax/test_weights.py",
            "tests/bert_jax/test_weights.py",
            "tests/end_to_end/test_export.py",
            "tests/options/test_export.py",
        ),
    ),
    Slip(
        behaviour="blocks means all layers but the embeddings",
        before='"blocks": (1, -1),',
        after='"blocks": (0, -1),',
        tests=(
            "tests/embed_jax/layers/test_layer_spec.py",
            "tests/embed_jax/layers/test_select.py",
        ),
    ),
    Slip(
        behaviour="A found word is shown with as many words after it as before it",
        before="self.words[self.position + 1 : self.position + 1 + reach]",
        after="self.words[self.position + 1 : self.position + reach]",
        tests=(
            "tests/embed_jax/explore/test_nearest.py",
            "tests/options/test_nearest.py",
        ),
    ),
    Slip(
        behaviour="A word without a piece has a zero vector, however it is pooled",
        before="return jnp.where(has_piece[..., None], pooled, 0)",
        after="return pooled",
        tests=(
            "tests/embed_jax/layers/test_pooling.py",
            "tests/bert_jax/test_corpus.py",
        ),
    ),
    Slip(
        behaviour="A model that cannot be fetched ends the command with status 2",
        before="""
        except (ValueError, OSError) as error:
            status, said = 2, with_options(one_line(error))
        """,
        after="""
        except (ValueError, OSError) as error:
            status, said = 1, with_options(one_line(error))
        """,
        tests=(
            "tests/test_pretrained.py",
            "tests/options/test_quickstart.py",
            "tests/embed_jax/test_exit_status.py",
        ),
    ),
    Slip(
        behaviour="The coordinator of the command line goes before that of a variable",
        before='self.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")',
        after='os.environ.get("JAX_COORDINATOR_ADDRESS") or self.coordinator',
        tests=(
            "tests/embed_jax/hosts/test_processes.py",
            *COMMAND,
            "tests/options/test_pretrain.py",
            "tests/train/loop/test_hosts.py",
        ),
    ),
    Slip(
        behaviour="An exported model gives zeros for a word that it cannot read",
        before="""
            words = vectors[row, np.maximum(place, 0)]
            words[place < 0] = 0
        """,
        after="""
            words = vectors[row, np.maximum(place, 0)]
        """,
        tests=(
            "tests/end_to_end/test_export.py",
            "tests/options/test_export.py",
        ),
    ),
    Slip(
        behaviour="An exported biLM finds the words of a vocabulary with counts",
        before="""
            {line.split("\\t")[0]: index for index, line in enumerate(lines) if line}
        """,
        after="""
            {line: index for index, line in enumerate(lines) if line}
        """,
        tests=(
            "tests/end_to_end/test_export.py",
            "tests/options/test_export.py",
        ),
    ),
    Slip(
        behaviour="A store of an older format is refused",
        before="""
            version = attribute(path, file, "format")
            if version != FORMAT:
        """,
        after="""
            version = attribute(path, file, "format")
            if version > FORMAT:
        """,
        tests=STORE,
    ),
    Slip(
        behaviour="A part with another number of sentences than listed is refused",
        before="if not is_same or counts != listed[1:]:",
        after="if not is_same:",
        tests=(
            "tests/embed_jax/store/test_parts.py",
            "tests/embed_jax/store/test_store.py",
        ),
    ),
    Slip(
        behaviour="Rows of a later part are counted from the first part on",
        before="yield ends[start : start + step] + begin",
        after="yield ends[start : start + step]",
        tests=(
            "tests/embed_jax/store/test_parts.py",
            "tests/embed_jax/store/test_store.py",
        ),
    ),
    Slip(
        behaviour="A store that was begun in another type is not gone on with",
        before='return _as_json({"dim": self.dim, "dtype": self.dtype}) | {',
        after='return _as_json({"dim": self.dim}) | {',
        tests=(*STORE, *COMMAND),
    ),
    Slip(
        behaviour="What only the new run says of its vectors is compared as well",
        before="""
            for key in before | now:
                if before.get(key) != now.get(key):
        """,
        after="""
            for key in before:
                if before.get(key) != now.get(key):
        """,
        tests=(*STORE, *COMMAND),
    ),
    Slip(
        behaviour="A part that holds other sentences than follow is refused",
        before="""
            if not is_ours or share.get("sentences") != [first, end]:
        """,
        after="""
            if not is_ours:
        """,
        tests=(
            "tests/embed_jax/store/test_parts.py",
            "tests/end_to_end/test_several_processes.py",
        ),
    ),
    Slip(
        behaviour="The file of a part is named by its number, from 0",
        before="self._folder / str(_Name(self._checksum, index, self.count))",
        after="self._folder / str(_Name(self._checksum, index + 1, self.count))",
        tests=(
            "tests/embed_jax/store/test_parts.py",
            "tests/end_to_end/test_several_processes.py",
        ),
    ),
    Slip(
        behaviour="What a killed writer left of a part that is whole is tidied up",
        before="if name in kept and not partial_of(part).exists():",
        after="if name in kept:",
        tests=(
            "tests/embed_jax/store/test_parts.py",
            "tests/embed_jax/store/test_store.py",
        ),
    ),
    Slip(
        behaviour="A finished part of a run that differs is not taken for one's own",
        before="""
            check_same(path, held, replace(self._whole, metadata=metadata))
            return None
        """,
        after="""
            return None
        """,
        tests=(
            "tests/embed_jax/store/test_parts.py",
            "tests/end_to_end/test_several_processes.py",
        ),
    ),
    Slip(
        behaviour="A commit holds all that was appended before it",
        before="write_journal(self._partial, self._appended)",
        after="write_journal(self._partial, self._committed)",
        tests=(*STORE, *COMMAND),
    ),
    Slip(
        behaviour="After a full disk only committed sentences are called safe",
        before="""
            f"first {self.num_sentences} sentences are safe: make room and run "
        """,
        after="""
            f"first {self._appended.num_sentences} sentences are safe: make room, run "
        """,
        tests=STORE,
    ),
    Slip(
        behaviour="Whole numbers of a TensorFlow checkpoint are read with 64 bits",
        before='9: np.dtype("<i8"),',
        after='9: np.dtype("<i4"),',
        tests=(
            "tests/embed_jax/files/test_tensorflow_checkpoint.py",
            "tests/elmo_jax/test_tensorflow.py",
            "tests/bert_jax/test_google.py",
        ),
    ),
]
