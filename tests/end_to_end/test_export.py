"""An exported model gives the vectors of the model, without this project."""

import dataclasses
import hashlib
import io
import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax
import bert_jax.text_reader
import elmo_jax
import elmo_jax.text_reader
from elmo_jax.exported import exportable
from embed_jax.export import __main__ as export
from embed_jax.export import serve
from embed_jax.export.serve import Served, sealed
from embed_jax.layers.layer_spec import parse_layer_spec
from tests.train.tiny_models import PIECES, save_bert, save_elmo

SENTENCES = [["the", "river", "banks"], ["we"], ["money", "sat", "of", "a", "river"]]
SPEC = "concat(last,embeddings),mean(all)"
READERS = {"bert": bert_jax.text_reader.Reader, "elmo": elmo_jax.text_reader.Reader}

ALONE = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from serve import Served
served = Served(sys.argv[1])
inputs = dict(np.load(sys.argv[2]))
np.save(sys.argv[3], np.asarray(served.run(**inputs)))
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def make(kind: str, folder: Path) -> str:
    return {"bert": save_bert, "elmo": save_elmo}[kind](folder / "model")


def run_export(model: str, artefact: Path, *options: str) -> int:
    return export.main([model, str(artefact), "--layers", SPEC, *options])


@pytest.mark.parametrize("kind", ["bert", "elmo"])
def test_a_process_with_jax_and_numpy_alone_gives_the_same_vectors(
    kind: str, tmp_path: Path
):
    model = make(kind, tmp_path)
    assert run_export(model, tmp_path / "artefact") == 0
    package = {"bert": bert_jax, "elmo": elmo_jax}[kind]
    params, tokenizer = package.load(model)
    tokens = tokenizer(SENTENCES)
    expected = package.embed(params, tokens, SPEC)
    manifest = json.loads((tmp_path / "artefact/manifest.json").read_text())
    inputs = {name: getattr(tokens, name) for name in manifest["inputs"]}
    np.savez(tmp_path / "inputs.npz", **inputs)
    files = ["artefact", "inputs.npz", "found.npy"]
    ran = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *(str(tmp_path / file) for file in files)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = np.load(tmp_path / "found.npy")
    mask = np.asarray(tokens.mask)
    np.testing.assert_allclose(found[mask], np.asarray(expected)[mask], atol=1e-5)
    loaded = set(json.loads(ran.stdout))
    assert "numpy" in loaded
    ours = {"flax", "bert_jax", "elmo_jax", "embed_jax", "orbax", "tokenizers"}
    assert not loaded & ours


@pytest.mark.parametrize("kind", ["bert", "elmo"])
def test_text_is_read_as_the_model_reads_it(kind: str, tmp_path: Path):
    model = make(kind, tmp_path)
    assert run_export(model, tmp_path / "artefact") == 0
    package = {"bert": bert_jax, "elmo": elmo_jax}[kind]
    params, tokenizer = package.load(model)
    sentences = [*SENTENCES, [], ["Überfluß", "a" * 80, "<S>", "\u200b"]]
    served = Served(tmp_path / "artefact", READERS[kind])
    expected = package.embed_words(params, tokenizer, sentences, SPEC)
    for ours, theirs in zip(served.embed(sentences), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


TEXTS = [
    "The river, the bank.",
    "",
    "We sat -- didn't we? -- by the cafe\u0301's money\u200b!",
    "  U.S.  banks\tof \u3000 a river \udc80x ",
    "<S> money [SEP]",
]


@pytest.mark.parametrize("kind", ["bert", "elmo"])
def test_text_is_split_as_the_model_splits_it(kind: str, tmp_path: Path):
    model = make(kind, tmp_path)
    assert run_export(model, tmp_path / "artefact") == 0
    package = {"bert": bert_jax, "elmo": elmo_jax}[kind]
    params, tokenizer = package.load(model)
    served = Served(tmp_path / "artefact", READERS[kind])
    expected = list(package.stream_words(params, tokenizer, TEXTS, SPEC))
    assert [served.words(text) for text in TEXTS] == [each.words for each in expected]
    for ours, theirs in zip(served.embed(TEXTS), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.vectors, atol=1e-5)
    with pytest.raises(ValueError, match="pass a list of sentences, not one text"):
        served.embed("The river")


@pytest.mark.parametrize("split", [str.split, lambda text: text.split("|")])
def test_another_way_to_split_is_known_or_refused(tmp_path: Path, split):
    params, tokenizer = elmo_jax.load(make("elmo", tmp_path))
    tokenizer = elmo_jax.ElmoTokenizer(tokenizer.config, tokenizer.vocabulary, split)
    what = exportable(params, tokenizer, parse_layer_spec("0"), jnp.dtype("float32"))
    reader = READERS["elmo"](tmp_path, what.save_text(tmp_path), lambda rows: (1, 9))
    if split is str.split:
        assert reader.words("The river,  the bank.") == [
            "The",
            "river,",
            "the",
            "bank.",
        ]
    else:
        with pytest.raises(ValueError, match=r"words that are split \(--split\), or"):
            reader.words("The|river")
    assert reader.words(["The|", "river"]) == ["The|", "river"]


@pytest.mark.parametrize("counts", [(), (3, 3, 9, 4, 3, 2, 1)])
def test_a_word_table_is_read_too(tmp_path: Path, counts: tuple[int, ...]):
    config = elmo_jax.ElmoConfig(
        char_cnn=None, vocab_size=7, num_blocks=2, cell_dim=6, projection_dim=4
    )
    vocabulary = elmo_jax.Vocabulary(
        ("<S>", "</S>", "<UNK>", "the", "river", "of", "money"), counts
    )
    params = elmo_jax.init_params(jax.random.key(1), config)
    tokenizer = elmo_jax.ElmoTokenizer(config, vocabulary)
    elmo_jax.save(tmp_path / "model", params, tokenizer)
    assert run_export(str(tmp_path / "model"), tmp_path / "artefact") == 0
    served = Served(tmp_path / "artefact", READERS["elmo"])
    expected = elmo_jax.embed_words(params, tokenizer, SENTENCES, SPEC)
    for ours, theirs in zip(served.embed(SENTENCES), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_one_program_serves_all_shapes_and_platforms(tmp_path: Path):
    model = make("bert", tmp_path)
    assert run_export(model, tmp_path / "artefact") == 0
    program = (tmp_path / "artefact/program.bin").read_bytes()
    exported = jax.export.deserialize(bytearray(program))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    # Every weight is an argument, none is baked into the program.
    assert len(program) < 200_000
    served = Served(tmp_path / "artefact")
    params, tokenizer = bert_jax.load(model)
    for length in (3, 17):
        tokens = tokenizer([PIECES[5:8] * length][:1] * length, long="truncate")
        found = served.run(
            ids=tokens.ids, segment_ids=tokens.segment_ids, mask=tokens.mask
        )
        expected = bert_jax.embed(params, tokens, SPEC)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "elmo"])
def test_an_artefact_does_not_tell_where_it_was_made(kind: str, tmp_path: Path):
    """Nor who called: the same model gives the same bytes."""
    model = make(kind, tmp_path / "model")
    before = dict(jax.config.values)
    assert run_export(model, tmp_path / "one", "--layers", "last") == 0
    assert dict(jax.config.values) == before

    def called_otherwise() -> int:
        return run_export(model, tmp_path / "other", "--layers", "last")

    assert called_otherwise() == 0
    programs = [
        (tmp_path / name / "program.bin").read_bytes() for name in ("one", "other")
    ]
    assert programs[0] == programs[1]
    assert b".py" not in programs[0]


def test_padding_is_the_piece_of_the_vocabulary(tmp_path: Path):
    pieces = [*PIECES[1:4], "[PAD]", *PIECES[4:]]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(pieces, cased=False)
    config = dataclasses.replace(bert_jax.TINY, pad_id=3)
    params = bert_jax.init_params(jax.random.key(0), config)
    bert_jax.save(tmp_path / "model", params, tokenizer)
    assert run_export(str(tmp_path / "model"), tmp_path / "artefact") == 0
    manifest = json.loads((tmp_path / "artefact/manifest.json").read_text())
    specials = {"pad_id": 3, "cls_id": 1, "sep_id": 2}
    assert specials.items() <= manifest["text"].items()


def test_a_program_of_another_jax_is_told_from_a_damaged_one(tmp_path: Path):
    assert run_export(make("bert", tmp_path), tmp_path / "artefact") == 0
    program = tmp_path / "artefact/program.bin"
    program.write_bytes(b"of a form to come")
    path = tmp_path / "artefact/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"][program.name] = hashlib.sha256(program.read_bytes()).hexdigest()
    for made, message in (
        (
            "99.0",
            rf"was made by jax 99\.0 and does not run on jax {jax.__version__}: i",
        ),
        (jax.__version__, "does not run here; export the model again"),
    ):
        path.write_text(json.dumps(sealed(manifest | {"jax": made})))
        with pytest.raises(ValueError, match=rf"program\.bin {message}"):
            Served(tmp_path / "artefact")


def test_layers_above_those_asked_for_are_left_out(tmp_path: Path):
    model = make("bert", tmp_path)
    arguments = [model, str(tmp_path / "artefact"), "--layers", "first"]
    assert export.main(arguments) == 0
    manifest = json.loads((tmp_path / "artefact/manifest.json").read_text())
    assert any("layer_0" in name for name in manifest["weights"])
    assert not any("layer_1" in name for name in manifest["weights"])


def test_the_program_beside_it_reads_lines(tmp_path: Path):
    model = make("elmo", tmp_path)
    assert run_export(model, tmp_path / "artefact") == 0
    ran = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "artefact/serve.py")],
        input="the river.\n\nwe sat\n",
        capture_output=True,
        text=True,
        check=True,
    )
    split = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "artefact/serve.py"), "--split"],
        input="the river.\r\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(split.stdout)["words"] == ["the", "river."]
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    words = [["the", "river", "."], [], ["we", "sat"]]
    assert [line["words"] for line in lines] == words
    params, tokenizer = elmo_jax.load(model)
    (expected,) = elmo_jax.embed_words(params, tokenizer, [["we", "sat"]], SPEC)
    np.testing.assert_allclose(lines[2]["vectors"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "last5"], 'no layer name "last5"'),
        (["--layers", "7"], "layers 0..2"),
        ([], "exists; --overwrite replaces it"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
):
    artefact = tmp_path / "artefact"
    if not options:
        artefact.mkdir()
    assert run_export(make("bert", tmp_path), artefact, *options) == 2
    assert message in capsys.readouterr().err
    assert not list(artefact.glob("*"))


def test_what_serving_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    model = make("bert", tmp_path)
    assert run_export(model, tmp_path / "artefact") == 0
    with pytest.raises(ValueError, match="sentence 1 has 72 tokens"):
        Served(tmp_path / "artefact", READERS["bert"]).embed([["we"], ["we"] * 70])
    with pytest.raises(
        ValueError, match=r"text_reader\.py is missing; .* pass reader="
    ):
        Served(tmp_path / "artefact").embed([["we"]])
    # The program beside it reads some lines at a time, and counts them all.
    lines = "we\n" * 40 + "we " * 70
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    monkeypatch.setattr(sys, "argv", ["serve.py"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(tmp_path / "artefact/serve.py"), run_name="__main__")
    assert "sentence 40 has 72 tokens" in capsys.readouterr().err
    (tmp_path / "artefact/program.bin").write_bytes(b"nothing")
    with pytest.raises(
        ValueError, match=r"program\.bin is no file .*, or damaged; exp"
    ):
        Served(tmp_path / "artefact")
    with pytest.raises(ValueError, match=r"absent/manifest\.json is no file of an exp"):
        Served(tmp_path / "absent")
    ran = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "artefact/serve.py")],
        input="we\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "program.bin is no file of an exported embedder, or damaged" in ran.stderr


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    assert run_export(make("bert", folder), folder / "artefact") == 0
    return folder / "artefact"


def damage(artefact: Path, name: str, folder: Path, place: int) -> Path:
    copy = Path(shutil.copytree(artefact, folder / f"damaged-{place}"))
    content = bytearray((copy / name).read_bytes())
    content[place] ^= 4
    (copy / name).write_bytes(content)
    return copy


def test_one_bit_of_any_file_is_noticed_before_anything_is_run(
    artefact: Path, tmp_path: Path
):
    names = {path.name for path in artefact.iterdir()}
    assert {"program.bin", "weights.npz", "text_reader.py", "tokenizer.json"} <= names
    for name in sorted(names):
        size = (artefact / name).stat().st_size
        for place in (0, size // 2, size - 2):
            copy = damage(artefact, name, tmp_path, place)
            with pytest.raises(ValueError, match=re.escape(name)) as caught:
                Served(copy)
            assert "\n" not in str(caught.value)
            shutil.rmtree(copy)


def test_an_interrupt_where_python_ignores_exceptions_still_stops(monkeypatch, capsys):
    class Ignoring:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def opening(directory: Path) -> Served:
        Ignoring()
        time.sleep(10)
        pytest.fail(f"{directory} is opened, and it is not interrupted")

    monkeypatch.setattr(serve, "Served", opening)
    monkeypatch.setattr(sys, "argv", ["serve.py"])
    before = sys.unraisablehook, signal.getsignal(signal.SIGTERM)
    assert serve.main() == 130
    assert capsys.readouterr().err == "serve: stopped\n"
    assert (sys.unraisablehook, signal.getsignal(signal.SIGTERM)) == before


LATE = """
import os, runpy, signal, sys

class Late:
    def __del__(self, kill=os.kill, me=os.getpid()):
        kill(me, signal.SIGTERM)

late = Late()  # taken down with this module, after the handlers
runpy.run_path(sys.argv.pop(), run_name="__main__")
"""


def test_a_signal_while_python_ends_changes_nothing(artefact: Path):
    ended = subprocess.run(
        [sys.executable, "-c", LATE, str(artefact / "serve.py")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_file_that_is_missing_is_named(artefact: Path, tmp_path: Path):
    copy = Path(shutil.copytree(artefact, tmp_path / "copy"))
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json is no file of an exported"):
        Served(copy)


def test_an_artefact_of_an_earlier_version_is_served_and_its_damage_named(
    artefact: Path, tmp_path: Path
):
    copy = Path(shutil.copytree(artefact, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["sha256"], manifest["checksum"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    served = Served(copy, READERS["bert"])
    (copy / "tokenizer.json").write_bytes(b"{")
    with pytest.raises(ValueError, match=r"copy is no file .*in the files of its text"):
        served.embed([["we"]])


def test_a_manifest_names_no_file_elsewhere(artefact: Path, tmp_path: Path):
    copy = Path(shutil.copytree(artefact, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["sha256"]["../secret"] = "0"
    (copy / "manifest.json").write_text(json.dumps(sealed(manifest)))
    with pytest.raises(ValueError, match=r"manifest\.json .*\.\./secret, which is out"):
        Served(copy)
