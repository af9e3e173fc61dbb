# SPDX-License-Identifier: Apache-2.0
"""Slips in the biLMs."""

from benchmarks.slips.slip import Slip

SLIPS = [
    Slip(
        behaviour="Backwards, a row's states begin anew where a sentence ends",
        before="""
            (tokens.ends if backward else tokens.starts).swapaxes(0, 1),
        """,
        after="""
            tokens.starts.swapaxes(0, 1),
        """,
        tests=(
            "tests/elmo_jax/test_embed.py",
            "tests/elmo_jax/test_corpus.py",
            "tests/elmo_jax/test_oracle.py",
            "tests/elmo_jax/test_fixture.py",
        ),
    ),
    Slip(
        behaviour="A state before the first boundary is each direction's own",
        before="""
            start=None if start is None else start[backward],
            dropout=nn.Dropout(
        """,
        after="""
            start=None if start is None else start[0],
            dropout=nn.Dropout(
        """,
        tests=(
            "tests/elmo_jax/test_warm_start.py",
            "tests/elmo_jax/test_embed.py",
        ),
    ),
    Slip(
        behaviour="The character CNN of the published model has its seven filters",
        before="(4, 128), (5, 256), (6, 512), (7, 1024)",
        after="(4, 128), (5, 256), (6, 256), (7, 1024)",
        tests=(
            "tests/elmo_jax/test_config.py",
            "tests/elmo_jax/test_params.py",
            "tests/configs/test_published.py",
        ),
    ),
    Slip(
        behaviour="A biLM may be as wide as its cells, which are not projected then",
        before="if self.projection_dim > self.cell_dim:",
        after="if self.projection_dim >= self.cell_dim:",
        tests=("tests/elmo_jax/test_config.py", "tests/elmo_jax/test_lstm.py"),
    ),
    Slip(
        behaviour="A filter is applied up to the last character",
        before="number = characters.shape[1] - width + 1",
        after="number = characters.shape[1] - width",
        tests=("tests/elmo_jax/test_convolution.py",),
    ),
    Slip(
        behaviour="mix_norm normalises each sentence of a corpus by itself",
        before="""
            params, tokens, (spec,), (mix,), dtype, carry=carry, norm_over="row"
        """,
        after="""
            params, tokens, (spec,), (mix,), dtype, carry=carry
        """,
        tests=(
            "tests/elmo_jax/test_corpus.py",
            "tests/end_to_end/test_defaults.py",
            "tests/end_to_end/test_elmo_command.py",
        ),
    ),
    Slip(
        behaviour="Of several models in a folder, the longest name owns a file",
        before="return max(begun, key=len, default=None)",
        after="return min(begun, key=len, default=None)",
        tests=("tests/elmo_jax/test_load.py", "tests/elmo_jax/test_weights.py"),
    ),
    Slip(
        behaviour="Where states go on through boundaries, the end is a position too",
        before="mask=positions < lengths + 2,",
        after="mask=positions < lengths + 1,",
        tests=(
            "tests/elmo_jax/test_embed.py",
            "tests/elmo_jax/test_warm_start.py",
            "tests/elmo_jax/test_oracle.py",
        ),
    ),
    Slip(
        behaviour="In bfloat16 the products of an LSTM read the kernel in bfloat16",
        before="return kernel.astype(self.dtype), bias, projection",
        after="return kernel, bias, projection",
        tests=("tests/elmo_jax/test_lstm.py", "tests/elmo_jax/test_embed.py"),
    ),
    Slip(
        behaviour="What is differentiated returns cell and output in their order",
        before="state = LstmState(memory, hidden)",
        after="state = LstmState(hidden, memory)",
        tests=(
            "tests/embed_jax/test_recurrence.py",
            "tests/elmo_jax/test_lstm.py",
            "tests/train/families/elmo/test_objective.py",
        ),
    ),
    Slip(
        behaviour="The gradient of a kernel is summed in float32",
        before="""
            right.astype(dtype),
            precision=precision(dtype),
            preferred_element_type=jnp.float32,
        ).astype(dtype)
        """,
        after="""
            right.astype(dtype),
            precision=precision(dtype),
        ).astype(dtype)
        """,
        tests=(
            "tests/embed_jax/test_recurrence.py",
            "tests/elmo_jax/test_lstm.py",
            "tests/train/families/elmo/test_objective.py",
        ),
        equivalent="on a CPU products of 16 bits are summed in float32 either way: "
        "equal bit for bit with 64, 1,024 and 5,000 rows",
    ),
    Slip(
        behaviour="Options that name no directions have as many as the caller says",
        before='bidirectional=whole.flag("bidirectional", bidirectional),',
        after='bidirectional=whole.flag("bidirectional", True),',
        tests=(
            "tests/elmo_jax/test_options.py",
            "tests/elmo_jax/test_tensorflow.py",
            "tests/elmo_jax/test_load.py",
        ),
    ),
    Slip(
        behaviour="The rows of a packed batch can be divided among the devices",
        before="""
            most = max(most // multiple, 1) * multiple
            rows: list[int] = []
        """,
        after="""
            rows: list[int] = []
        """,
        tests=("tests/elmo_jax/test_packing.py", "tests/elmo_jax/test_corpus.py"),
    ),
    Slip(
        behaviour="A batch with very many distinct words fits the table of types",
        before="capacity = max(NUM_TYPES, 4 * num_positions)",
        after="capacity = NUM_TYPES",
        tests=(
            "tests/elmo_jax/test_corpus.py",
            "tests/elmo_jax/test_scoring.py",
            "tests/elmo_jax/test_type_table.py",
        ),
    ),
    Slip(
        behaviour="Each of the sentences of a packed row starts where it lies",
        before="starts[row, start] = True",
        after="starts[row, 0] = True",
        tests=("tests/elmo_jax/test_corpus.py", "tests/elmo_jax/test_scoring.py"),
    ),
    Slip(
        behaviour="Read in parts, the last word of a part knows the word after it",
        before="sentence[max(start - 1, 0) : start + step + 1]",
        after="sentence[max(start - 1, 0) : start + step]",
        tests=("tests/elmo_jax/test_scoring.py", "tests/options/test_score.py"),
    ),
    Slip(
        behaviour="Scoring tells of every batch that is done",
        before="""
            chunk_tokens=CHUNK_BATCHES * budget,
            on_batch=on_batch,
            arrivals=given,
        """,
        after="""
            chunk_tokens=CHUNK_BATCHES * budget,
            arrivals=given,
        """,
        tests=("tests/elmo_jax/test_scoring.py", "tests/options/test_score.py"),
    ),
    Slip(
        behaviour="A vocabulary out of order is refused with its line, from 1",
        before="zip(self.words, self.counts, strict=True), start=1",
        after="zip(self.words, self.counts, strict=True), start=0",
        tests=("tests/elmo_jax/test_vocabulary.py",),
    ),
    Slip(
        behaviour="A word that ends with a carriage return is no line of a vocabulary",
        before='is_lost = without_blanks(word) != word or word[-1:] == "\\r"',
        after="is_lost = without_blanks(word) != word",
        tests=("tests/elmo_jax/test_vocabulary.py",),
    ),
    Slip(
        behaviour="What is wrong with the softmax is said of the softmax's file",
        before="""
            pairs += match_tensors(softmax, wanted, config, sources[1], options)
        """,
        after="""
            pairs += match_tensors(softmax, wanted, config, sources[0], options)
        """,
        tests=(
            "tests/elmo_jax/test_weights.py",
            "tests/elmo_jax/test_softmax.py",
            "tests/elmo_jax/test_load.py",
        ),
    ),
    Slip(
        behaviour="With a table of words, text is split as it was before",
        before="return params, ElmoTokenizer(config, vocabulary, tokenizer.split)",
        after="return params, ElmoTokenizer(config, vocabulary)",
        tests=("tests/elmo_jax/test_word_table.py",),
    ),
]
