# SPDX-License-Identifier: Apache-2.0
"""Slips of a second draw, in the encoders.

They were drawn with seed 20261130 after the tests were written for the first list, and
chosen by reading the source alone: no test was written for any of them before.
"""

from benchmarks.slips.chosen.suites import COMMAND
from benchmarks.slips.slip import Slip

SLIPS = [
    Slip(
        behaviour="Of several models in a folder, that of the named options is read",
        before="""
            elif _is_options_name(path):
                options = path
        """,
        after="""
            elif _is_options_name(path):
                options = _only_options(path.parent)
        """,
        tests=(
            "tests/elmo_jax/test_load.py",
            "tests/elmo_jax/test_weights.py",
            "tests/elmo_jax/test_tensorflow.py",
            "tests/end_to_end/test_elmo_command.py",
        ),
    ),
    Slip(
        behaviour="The states that a sentence starts from lie in start.hdf5",
        before='OPTIONS, START = "options.json", "start.hdf5"',
        after='OPTIONS, START = "options.json", "start.h5"',
        tests=(
            "tests/elmo_jax/test_load.py",
            "tests/elmo_jax/test_weights.py",
            "tests/elmo_jax/test_warm_start.py",
            "tests/end_to_end/test_elmo_command.py",
        ),
    ),
    Slip(
        behaviour="A biLM's chosen layers are computed in the type that is asked for",
        before="""
            apply_bilm(params, tokens, carry=carry, highest_layer=highest, dtype=dtype)
        """,
        after="""
            apply_bilm(params, tokens, carry=carry, highest_layer=highest)
        """,
        tests=(
            "tests/elmo_jax/test_embed.py",
            "tests/elmo_jax/test_corpus.py",
            "tests/elmo_jax/test_lstm.py",
            "tests/elmo_jax/test_type_table.py",
            *COMMAND,
        ),
    ),
    Slip(
        behaviour="A biLM is read with the file of embeddings that it is given",
        before="""
            embedding=embedding,
            vocabulary=vocabulary,
            wants_softmax=not encoder_only,
        """,
        after="""
            vocabulary=vocabulary,
            wants_softmax=not encoder_only,
        """,
        tests=(
            "tests/elmo_jax/test_load.py",
            "tests/elmo_jax/test_weights.py",
            "tests/elmo_jax/test_word_table.py",
        ),
    ),
    Slip(
        behaviour="Options are written with the characters that bilm-tf embeds with",
        before="NUMBERS_OF_CHARACTERS = (261, 262)",
        after="NUMBERS_OF_CHARACTERS = (262, 261)",
        tests=(
            "tests/elmo_jax/test_options.py",
            "tests/elmo_jax/test_weights.py",
            "tests/elmo_jax/test_load.py",
            "tests/train/test_export.py",
        ),
    ),
    Slip(
        behaviour="A fresh softmax is scaled by the width of the vectors it reads",
        before="draw = scaled_normal(config.projection_dim)",
        after="draw = scaled_normal(config.cell_dim)",
        tests=(
            "tests/elmo_jax/test_params.py",
            "tests/elmo_jax/test_softmax.py",
            "tests/train/families/elmo/test_objective.py",
            "tests/oracles/test_bilm.py",
        ),
    ),
    Slip(
        behaviour="Read in parts, a part knows what is right of the part after it",
        before="""
            output = apply_bilm(
                params,
                tokens,
                carry=carry,
                highest_layer=highest_layer,
                dtype=dtype,
            )
            return output.carry[1:]
        """,
        after="""
            output = apply_bilm(
                params, tokens, highest_layer=highest_layer, dtype=dtype
            )
            return output.carry[1:]
        """,
        tests=(
            "tests/elmo_jax/test_corpus.py",
            "tests/elmo_jax/test_scoring.py",
            "tests/elmo_jax/test_packing.py",
            "tests/elmo_jax/test_embed.py",
            "tests/options/test_score.py",
            "tests/end_to_end/test_elmo_command.py",
        ),
    ),
    Slip(
        behaviour="A text of no lines is scored without a perplexity",
        before="""
            if meter.num_sentences:
                print(describe(meter.result()))
        """,
        after="""
            print(describe(meter.result()))
        """,
        tests=(
            "tests/elmo_jax/test_scoring.py",
            "tests/end_to_end/test_elmo_command.py",
            "tests/options/test_score.py",
            "tests/end_to_end/test_defaults.py",
        ),
    ),
    Slip(
        behaviour="A compressed vocabulary that was cut short is refused by name",
        before="""
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(f"{path} is damaged or cut short: {error}") from error
            words, counts = [], []
        """,
        after="""
            except (gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(f"{path} is damaged or cut short: {error}") from error
            words, counts = [], []
        """,
        tests=(
            "tests/elmo_jax/test_vocabulary.py",
            "tests/elmo_jax/test_load.py",
            "tests/train/tasks/data/test_conll.py",
            "tests/train/test_prepare.py",
        ),
    ),
    Slip(
        behaviour="With a table of words the character CNN is gone",
        before="""
            name: weights
            for name, weights in params.encoder.items()
            if name != "char_cnn"
        """,
        after="""
            name: weights for name, weights in params.encoder.items()
        """,
        tests=(
            "tests/elmo_jax/test_word_table.py",
            "tests/elmo_jax/test_type_table.py",
            "tests/elmo_jax/test_params.py",
            "tests/elmo_jax/test_tokenizer.py",
            "tests/elmo_jax/test_warm_start.py",
            "tests/elmo_jax/test_fixture.py",
            "tests/elmo_jax/test_weights.py",
            "tests/end_to_end/test_export.py",
        ),
    ),
    Slip(
        behaviour="A model may have more rows of pieces than the tokeniser has pieces",
        before="if tokenizer.vocab_size > params.config.vocab_size:",
        after="if tokenizer.vocab_size != params.config.vocab_size:",
        tests=(
            "tests/bert_jax/test_corpus.py",
            "tests/bert_jax/test_embed.py",
            "tests/bert_jax/test_load.py",
            "tests/bert_jax/test_minilm.py",
            *COMMAND,
        ),
    ),
    Slip(
        behaviour="Fresh embeddings are drawn as published",
        before="""
            return nn.Embed(
                rows, self.config.layer_dim, embedding_init=init, name=name
            )
        """,
        after="return nn.Embed(rows, self.config.layer_dim, name=name)",
        tests=(
            "tests/bert_jax/test_config.py",
            "tests/bert_jax/test_embed.py",
            "tests/bert_jax/test_parity.py",
            "tests/bert_jax/test_weights.py",
            "tests/train/families/bert/test_objective.py",
            "tests/train/loop/test_step.py",
            "tests/train/families/test_continuation.py",
            "tests/configs",
        ),
    ),
    Slip(
        behaviour="The biases of Google's heads are found",
        before="""
            "output_weights": "weight",
            "output_bias": "bias",
        """,
        after="""
            "output_weights": "weight",
        """,
        tests=("tests/bert_jax/test_google.py", "tests/bert_jax/test_load.py"),
    ),
    Slip(
        behaviour="A file of weights that was cut short is refused by name",
        before="""
            except safetensors.SafetensorError as error:
                cause = mistaken_file(path, text=False)
                if cause is not None:
                    raise ValueError(
                        f"{path} is no safetensors file but {cause}"
                    ) from error
                raise _cut_short(path, error) from error
        """,
        after="",
        tests=("tests/bert_jax/test_load.py", "tests/bert_jax/test_weights.py"),
    ),
    Slip(
        behaviour="Room that the context after a sentence leaves is for that before it",
        before="num_left = min(len(left), max(room // 2, room - len(right)))",
        after="num_left = min(len(left), room // 2)",
        tests=(
            "tests/bert_jax/test_rows.py",
            "tests/bert_jax/test_corpus.py",
            "tests/train/tasks/test_features.py",
            "tests/train/families/bert/test_token_examples.py",
            *COMMAND,
        ),
    ),
    Slip(
        behaviour="Of a sentence in windows only the outermost specials are pooled",
        before="pooled=np.concatenate([[is_first], mine, [is_last]]),",
        after="pooled=np.concatenate([[True], mine, [True]]),",
        tests=(
            "tests/bert_jax/test_rows.py",
            "tests/bert_jax/test_corpus.py",
            "tests/bert_jax/test_tokenizer.py",
            *COMMAND,
        ),
    ),
    Slip(
        behaviour="A vocabulary that has a piece twice is as large as its last index",
        before="self.vocab_size = max(backend.get_vocab().values(), default=-1) + 1",
        after="self.vocab_size = backend.get_vocab_size()",
        tests=(
            "tests/bert_jax/test_tokenizer.py",
            "tests/bert_jax/test_load.py",
            "tests/train/families/bert/test_pieces.py",
            "tests/train/test_prepare.py",
        ),
    ),
    Slip(
        behaviour="A tokeniser with a limit of its own is one of tokenizer.json",
        before="""
            *("x" * length for length in (99, 100, 101, 199, 200, 201)),
            *("É" * length for length in (100, 101)),
        """,
        after='*("x" * length for length in (99, 100)),',
        tests=(
            "tests/bert_jax/test_saved_tokenizer.py",
            "tests/bert_jax/test_tokenizer.py",
            "tests/bert_jax/test_weights.py",
            "tests/bert_jax/test_load.py",
            "tests/train/test_export.py",
        ),
    ),
]
