# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from bert_jax.tokenizer import (
    SPECIALS,
    SentencePieceTokenizer,
    Tokenizer,
    WordPieceTokenizer,
)
from train.data.store import written_store
from train.families.bert.pieces import (
    PieceStore,
    continuing_pieces,
    count_unknown,
    join_shards,
    read_tokenizer,
    save_tokenizer,
    text_encoder,
    train_sentencepiece,
    train_wordpiece,
)

TEXTS = [
    "The walker walked; walking, he talked.",
    "Talking walkers talk and walk: the talker talks.",
    "She said: walk! He walks and talks.",
] * 20


@pytest.fixture(scope="module")
def wordpiece() -> WordPieceTokenizer:
    return train_wordpiece(TEXTS, 60, cased=False)


@pytest.fixture(scope="module")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceTokenizer:
    path = tmp_path_factory.mktemp("unigram") / "trained.model"
    return train_sentencepiece(TEXTS, 50, cased=False, path=path)


@pytest.fixture(params=["wordpiece", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return request.getfixturevalue(request.param)


def piece_names(tokenizer: Tokenizer) -> list[str]:
    if isinstance(tokenizer, WordPieceTokenizer):
        by_id = {i: piece for piece, i in tokenizer.backend.get_vocab().items()}
        return [by_id[i] for i in range(tokenizer.vocab_size)]
    assert isinstance(tokenizer, SentencePieceTokenizer)
    return [tokenizer.model.id_to_piece(i) for i in range(tokenizer.vocab_size)]


def test_trained_tokenisers_begin_with_the_specials(tokenizer: Tokenizer) -> None:
    assert piece_names(tokenizer)[:5] == list(SPECIALS)
    assert tokenizer.mask_id == 4
    assert tokenizer.vocab_size <= 60


def test_trained_tokenisers_know_every_letter_of_a_small_text(
    tokenizer: Tokenizer,
) -> None:
    for pieces in tokenizer.encode(TEXTS[:3]):
        assert 1 not in pieces.ids


def test_trained_tokenisers_learn_what_recurs(tokenizer: Tokenizer) -> None:
    lengths = [len(pieces.ids) for pieces in tokenizer.encode(["walk", "talk"])]
    assert lengths == [1, 1]


def test_pieces_that_continue_a_word_are_those_after_its_first(
    tokenizer: Tokenizer,
) -> None:
    continues = continuing_pieces(tokenizer)
    assert not continues[:5].any()
    for pieces in tokenizer.encode(["The walker talked", "stalker"]):
        is_same_word = np.diff(pieces.word_ids, prepend=-1) == 0
        np.testing.assert_array_equal(continues[pieces.ids], is_same_word)


def test_capitals_are_kept_or_not(tmp_path: Path) -> None:
    for cased in (False, True):
        trained = (
            train_wordpiece(TEXTS, 80, cased=cased),
            train_sentencepiece(TEXTS, 50, cased=cased, path=tmp_path / "a.model"),
        )
        for tokenizer in trained:
            upper, lower = tokenizer.encode(["The", "the"])
            assert (upper.ids.tolist() == lower.ids.tolist()) is not cased


def test_training_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        save_tokenizer(train_wordpiece(TEXTS, 60, cased=True), tmp_path / name)
        path = tmp_path / f"{name}.model"
        train_sentencepiece(TEXTS, 50, cased=True, path=path)
    for file in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        first, second = (tmp_path / name / file for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    models = (tmp_path / "first.model", tmp_path / "second.model")
    assert models[0].read_bytes() == models[1].read_bytes()


def test_saved_tokenisers_are_read_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    read = read_tokenizer(tmp_path / "tokenizer")
    for ours, theirs in zip(
        tokenizer.encode(["Walk, TALK!"]), read.encode(["Walk, TALK!"]), strict=True
    ):
        assert ours.ids.tolist() == theirs.ids.tolist()


def test_a_model_file_is_read(unigram: SentencePieceTokenizer, tmp_path: Path) -> None:
    unigram.save(tmp_path)
    read = read_tokenizer(tmp_path / "spiece.model")
    assert read.vocab_size == unigram.vocab_size


def test_a_tokeniser_may_have_more_pieces_than_the_published_one(
    tmp_path: Path,
) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(31_000))]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    assert read_tokenizer(tmp_path).vocab_size == 31_005


def test_a_store_has_pieces_and_specials(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    documents = [["The walker", "talks @"], ["he"]]
    encoded = [[p.ids for p in tokenizer.encode(document)] for document in documents]
    shards = [tmp_path / "shard0", tmp_path / "shard1"]
    for shard, document in zip(shards, encoded, strict=True):
        with written_store(shard, tokenizer.vocab_size) as writer:
            writer.append(document)
    join_shards(shards, tmp_path / "train", tokenizer)
    store = PieceStore.open(tmp_path / "train")
    assert [store.sentence(i).tolist() for i in range(3)] == [
        ids.tolist() for document in encoded for ids in document
    ]
    assert store.document_starts.tolist() == [0, 2, 3]
    assert (store.pad_id, store.cls_id, store.sep_id, store.mask_id) == (0, 2, 3, 4)
    assert store.continues.tolist() == continuing_pieces(tokenizer).tolist()
    assert count_unknown(store) == 1


def test_a_store_of_another_tokeniser_is_refused(
    wordpiece: WordPieceTokenizer, tmp_path: Path
) -> None:
    save_tokenizer(wordpiece, tmp_path / "tokenizer")
    join_shards([], tmp_path / "train", train_wordpiece(TEXTS, 50, cased=False))
    with pytest.raises(ValueError, match=r"continues\.npy is of 50 pieces, but .* 60"):
        PieceStore.open(tmp_path / "train")


def test_a_token_that_is_no_piece_is_refused(
    wordpiece: WordPieceTokenizer, tmp_path: Path
) -> None:
    save_tokenizer(wordpiece, tmp_path / "tokenizer")
    join_shards([], tmp_path / "train", wordpiece)
    for name, values in (
        ("tokens", np.array([5, 65535], np.uint16)),
        ("sentence_starts", np.array([0, 2])),
        ("document_starts", np.array([0, 1])),
    ):
        np.save(tmp_path / "train" / f"{name}.npy", values)
    with pytest.raises(ValueError, match=r"\.npy is damaged: it is not what was"):
        PieceStore.open(tmp_path / "train")
    (tmp_path / "train" / "checksums.json").unlink()
    with pytest.raises(ValueError, match=r"tokens\.npy holds token 65535, but .* 60"):
        PieceStore.open(tmp_path / "train")


def test_tokenisers_that_will_not_do_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: neither a directory with a token"):
        read_tokenizer(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no tokeniser"):
        read_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    with pytest.raises(ValueError, match=r"no \[MASK\] piece, which masked"):
        read_tokenizer(tmp_path)


def test_training_needs_text_and_room(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no text to train a tokeniser on"):
        train_wordpiece([], 60, cased=False)
    with pytest.raises(ValueError, match="cannot make 8 pieces of this text"):
        train_sentencepiece(TEXTS, 8, cased=False, path=tmp_path / "a.model")


WRITTEN = "walk [SEP] talk[MASK] [PAD] [CLS] [UNK]"


@pytest.fixture(params=["wordpiece", "unigram", "defined"])
def any_tokenizer(request, tmp_path) -> Tokenizer:
    """One that is trained here, or a model of SentencePiece with symbols in text."""
    if request.param != "defined":
        return request.getfixturevalue(request.param)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, "[ ] pad sep cls mask unk"]),
        model_prefix=str(tmp_path / "defined"),
        vocab_size=60,
        hard_vocab_limit=False,
        user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"],
        minloglevel=2,
    )
    return SentencePieceTokenizer(tmp_path / "defined.model")


def test_a_special_that_is_written_in_training_text_is_text(any_tokenizer) -> None:
    (ids,) = text_encoder(any_tokenizer)([WRITTEN])
    specials = {any_tokenizer.cls_id, any_tokenizer.sep_id, any_tokenizer.mask_id}
    assert not specials & set(ids.tolist())
    if any_tokenizer.pad_id != any_tokenizer.unk_id:
        assert any_tokenizer.pad_id not in ids
    if isinstance(any_tokenizer, WordPieceTokenizer):
        apart = "walk [ sep ] talk [ mask ] [ pad ] [ cls ] [ unk ]"
        (expected,) = any_tokenizer.encode([apart])
        np.testing.assert_array_equal(ids, expected.ids)
        # What serves reads them as the published tokenisers do.
        (served,) = any_tokenizer.encode([WRITTEN])
        assert specials < set(served.ids.tolist())


def test_other_text_is_encoded_as_the_tokeniser_does(any_tokenizer) -> None:
    for ours, theirs in zip(
        text_encoder(any_tokenizer)(TEXTS[:3]),
        any_tokenizer.encode(TEXTS[:3]),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs.ids)
