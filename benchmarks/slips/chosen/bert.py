# SPDX-License-Identifier: Apache-2.0
"""Slips in the BERT encoders."""

from benchmarks.slips.slip import Slip

SLIPS = [
    Slip(
        behaviour="Words are embedded in rows of the length that was asked for",
        before="length = tokenizer.max_length if length is None else length",
        after="length = tokenizer.max_length",
        tests=(
            "tests/bert_jax/test_corpus.py",
            "tests/end_to_end/test_defaults.py",
            "tests/end_to_end/test_command.py",
            "tests/options/test_embed_jax.py",
        ),
    ),
    Slip(
        behaviour="A row's dropout draws from both of its seeds",
        before="seeds[:, 0].reshape(shape), seeds[:, 1].reshape(shape)",
        after="seeds[:, 0].reshape(shape), seeds[:, 0].reshape(shape)",
        tests=(
            "tests/bert_jax/test_dropout.py",
            "tests/bert_jax/test_fused_attention.py",
        ),
    ),
    Slip(
        behaviour="Tokens are read at the positions that they are given",
        before="positions=None if positions is None else jnp.asarray(positions),",
        after="positions=None,",
        tests=(
            "tests/bert_jax/test_embed.py",
            "tests/train/families/bert/test_objective.py",
        ),
    ),
    Slip(
        behaviour="The first id beyond the table is refused",
        before="if low < 0 or high >= size:",
        after="if low < 0 or high > size:",
        tests=("tests/bert_jax/test_embed.py",),
    ),
    Slip(
        behaviour="Several specs at once are computed in the type that is asked for",
        before="found = _embed(params, tokens, specs, mixes, dtype)",
        after="found = _embed(params, tokens, specs, mixes, jnp.dtype(jnp.float32))",
        tests=("tests/bert_jax/test_embed.py",),
    ),
    Slip(
        behaviour="Dropout falls on what the feed-forward layer adds",
        before="""
            update = Mlp(self.config, self.dtype, name="mlp")(states)
            update = dropout(update, deterministic)
        """,
        after="""
            update = Mlp(self.config, self.dtype, name="mlp")(states)
        """,
        tests=(
            "tests/bert_jax/test_dropout.py",
            "tests/bert_jax/test_embed.py",
            "tests/bert_jax/test_parity.py",
        ),
    ),
    Slip(
        behaviour="An exported model pads with the tokeniser's own piece",
        before='"pad_id": tokenizer.pad_id,',
        after='"pad_id": 0,',
        tests=(
            "tests/end_to_end/test_export.py",
            "tests/options/test_export.py",
        ),
    ),
    Slip(
        behaviour="The compiler is told a kernel's multiplications and additions",
        before="flops=2 * num_products * pairs * form.head_dim,",
        after="flops=num_products * pairs * form.head_dim,",
        tests=("tests/bert_jax/test_fused_attention.py", "tests/train/test_plan.py"),
    ),
    Slip(
        behaviour="A folder that has Google's configuration alone is of Google's form",
        before="""
            is_tensorflow_checkpoint(path)
            or not ((path / "config.json").exists() or has_weights(path))
        """,
        after="""
            is_tensorflow_checkpoint(path)
            and not ((path / "config.json").exists() or has_weights(path))
        """,
        tests=("tests/bert_jax/test_google.py", "tests/bert_jax/test_load.py"),
    ),
    Slip(
        behaviour="Two files of one model that hold the same tensor are refused",
        before="""
            for name in tensors.keys() & more.keys():
                raise ValueError(f"{index}: two of its files hold {name}")
            tensors |= more
        """,
        after="""
            tensors |= more
        """,
        tests=("tests/bert_jax/test_load.py", "tests/bert_jax/test_weights.py"),
    ),
    Slip(
        behaviour="Where a head needs a pooler, one that is missing is named",
        before='if has("pooler") or NEED_POOLER & set(heads):',
        after='if has("pooler"):',
        tests=("tests/bert_jax/test_load.py", "tests/bert_jax/test_weights.py"),
    ),
    Slip(
        behaviour="Rows of pairs are padded to the length that is asked for",
        before="return collate(rows, self.pad_id, length=padded)",
        after="return collate(rows, self.pad_id)",
        tests=("tests/bert_jax/test_tokenizer.py", "tests/bert_jax/test_rows.py"),
    ),
    Slip(
        behaviour="A pair that just fits its row is not too long",
        before="if self.longest is None or length <= self.longest:",
        after="if self.longest is None or length < self.longest:",
        tests=("tests/bert_jax/test_tokenizer.py", "tests/bert_jax/test_rows.py"),
    ),
    Slip(
        behaviour="Chinese characters are words of their own only where wanted",
        before="""
            lowercase=not cased,
            strip_accents=strip_accents,
            handle_chinese_chars=split_cjk,
        """,
        after="""
            lowercase=not cased,
            strip_accents=strip_accents,
            handle_chinese_chars=True,
        """,
        tests=("tests/bert_jax/test_tokenizer.py", "tests/bert_jax/test_load.py"),
    ),
    Slip(
        behaviour="A tensor of another shape: the file's is told from the model's",
        before="""
            f"{source}: {tensor.name} has shape {list(shape)}, but {described} "
            f"makes it {list(tensor.shape)}"
        """,
        after="""
            f"{source}: {tensor.name} has shape {list(tensor.shape)}, but {described} "
            f"makes it {list(shape)}"
        """,
        tests=("tests/bert_jax/test_weights.py", "tests/bert_jax/test_load.py"),
    ),
]
