# SPDX-License-Identifier: Apache-2.0
"""Runs a program of `embed_jax.export`; a copy of this file is put beside the program.

The copy needs no other file of this project but `text_reader.py`, also put there, which
makes inputs of text for the model's family.

    python ARTEFACT/serve.py < sentences.txt > vectors.jsonl
    python ARTEFACT/serve.py --split < words.txt > vectors.jsonl

Each line of text gives a line of JSON: the words, split as the model's tokeniser splits
text (with --split, words that white space divides already), and a vector for each.
Vectors need jax and NumPy alone (and `flatbuffers`, which jax reads programs with); the
text of a BERT needs `tokenizers`, or `sentencepiece`, besides, that of an ELMo
`sacremoses`.

    sys.path.insert(0, "ARTEFACT")
    from serve import Served
    served = Served("ARTEFACT")
    served.run(ids=…, segment_ids=…, mask=…)              # [B T width], of arrays
    served.embed(["The bank of the river."])              # a list of [words, width]
    served.words("The bank of the river.")                # its words
    served.embed([["The", "bank", "of", "the", "river"]])  # words, split already

Lines are answered as they come: what has arrived within a tenth of a second is run at
once. The exit status is 0, also if whoever reads the vectors has read enough; 2 after
an error; 130 if a signal (Ctrl-C, SIGTERM, SIGHUP) stopped it.
"""

import argparse
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

STOPPED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _leave(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    os._exit(STOPPED)


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Set the handler of all signals that stop; return those of before."""
    before = {}
    for number in _SIGNALS:
        # What whoever started us wants ignored (nohup) stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before


def _put_back(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


_before: dict[int, Any] = {}
if __name__ == "__main__":
    # Now, for jax takes seconds to import, and Ctrl-C meanwhile gives a traceback.
    _before = _on_signals(_leave)

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax import export  # noqa: E402

# Sentences that are run at once, and seconds that the first of them waits for others.
BATCH, PATIENCE = 32, 0.1
# Seconds until an interrupt is tried again that was raised where none may be.
AGAIN = 0.01

MANIFEST, PROGRAM, WEIGHTS = "manifest.json", "program.bin", "weights.npz"

_AGAIN = "export the model again, or copy the directory again"


class Served:
    """An exported embedder.

    Attributes:
      manifest: the content of `manifest.json`.
    """

    def __init__(
        self, directory: str | Path, reader: Callable[..., Any] | None = None
    ) -> None:
        """Check all files by their checksums, and read the program and the weights.

        Args:
          directory: written by `embed_jax.export`.
          reader: the `Reader` of its text_reader.py; by default of the text_reader.py
            beside this file.

        Raises:
          ValueError: a file is missing or invalid.
        """
        self._directory = Path(directory)
        self.manifest: dict[str, Any] = _read_manifest(self._directory / MANIFEST)
        path = self._directory / WEIGHTS
        with _reading(path), np.load(path, allow_pickle=False) as file:
            weights = [file[name] for name in self.manifest["weights"]]
        path = self._directory / PROGRAM
        try:
            call = export.deserialize(bytearray(path.read_bytes())).call
        except ImportError:
            raise
        except Exception as error:
            raise ValueError(self._why_not_run(error)) from error
        self._weights = jax.device_put(weights)
        self._call = jax.jit(call)
        self._reader, self._read = reader, None

    def run(self, **inputs: Any) -> jax.Array:
        """Compute vectors `[B T width]`; the inputs are listed in the manifest.

        Raises:
          ValueError: the program is damaged, or cannot run here.
        """
        try:
            return self._call(self._weights, inputs)
        except jax.errors.JaxRuntimeError as error:
            raise ValueError(self._why_not_run(error)) from error

    def embed(
        self, sentences: Sequence[str | Sequence[str]], *, first: int = 0
    ) -> list[np.ndarray]:
        """Embed sentences, each text or words; return `[words, width]` for each.

        Text is split as the model's tokeniser splits it, a list of words is not
        changed. For a BERT, the vector of a word is that of its first piece, zero for a
        word without pieces. Error messages number the sentences from `first`.

        Raises:
          ValueError: one text instead of a list, a sentence that is neither text nor a
            list of words, or longer than the model's maximal length; or a file of the
            tokeniser is damaged.
          ImportError: the library of the tokeniser is not installed.
        """
        if isinstance(sentences, str | bytes):
            raise ValueError("pass a list of sentences, not one text: [sentence]")
        for index, sentence in enumerate(sentences, start=first):
            if not isinstance(sentence, str) and not _are_words(sentence):
                raise ValueError(
                    f"sentence {index} is {sentence!r}, not text or a list of words"
                )
        inputs, places = self._text_reader()(sentences, first)
        vectors = np.asarray(self.run(**inputs), np.float32)
        found = []
        for row, place in enumerate(places):
            words = vectors[row, np.maximum(place, 0)]
            words[place < 0] = 0
            found.append(words)
        return found

    def words(self, sentence: str | Sequence[str]) -> list[str]:
        """Return the words of a sentence, one for each vector of `embed`.

        Raises:
          ValueError: a file of the tokeniser is damaged.
          ImportError: the library of the tokeniser is not installed.
        """
        return self._text_reader().words(sentence)

    def _why_not_run(self, error: Exception) -> str:
        """Say what helps, of a program that is whole by its checksum."""
        path, made = self._directory / PROGRAM, self.manifest.get("jax")
        if made in (None, jax.__version__):
            return f"{path} does not run here; {_AGAIN} ({_line(error)})"
        return (
            f"{path} was made by jax {made} and does not run on jax {jax.__version__}: "
            f"install jax {made} or a later one, or export the model again with this "
            f"one ({_line(error)})"
        )

    def _text_reader(self) -> Any:
        if self._read is None:
            make = self._reader or _reader_beside()
            with _reading(self._directory, ", in the files of its text"):
                self._read = make(self._directory, self.manifest["text"], _shape_for)
        return self._read


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with a checksum of its content, under "checksum"."""
    held = {key: value for key, value in manifest.items() if key != "checksum"}
    # As it is read back from JSON, where a tuple is a list.
    text = json.dumps(json.loads(json.dumps(held)), sort_keys=True)
    return held | {"checksum": hashlib.sha256(text.encode()).hexdigest()}


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest, and check all files that it lists.

    Raises:
      ValueError: a file is missing or damaged; names it.
    """
    with _reading(path):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        # Artefacts of earlier versions have no checksums.
        if manifest.keys() & {"checksum", "sha256"} and manifest != sealed(manifest):
            raise ValueError("its checksum is not that of its content")
        weights, files = manifest["weights"], manifest.get("sha256", {})
        if not isinstance(weights, list) or "text" not in manifest:
            raise ValueError("it is no manifest")
        for name in files:
            if Path(name).name != name:
                raise ValueError(f"it lists {name}, which is outside")
    for name, digest in files.items():
        file = path.with_name(name)
        with _reading(file), file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != digest:
                raise ValueError("it is not what was exported")
    return manifest


@contextlib.contextmanager
def _reading(path: Path, also: str = "") -> Iterator[None]:
    """Translate whatever a library raises into one line that names the file."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        if str(path) in str(error) and isinstance(error, ValueError):
            raise
        raise ValueError(
            f"{path} is no file of an exported embedder, or damaged{also}; {_AGAIN} "
            f"({_line(error)})"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _are_words(words: Any) -> bool:
    is_list = hasattr(words, "__iter__") and not isinstance(words, str | bytes)
    return is_list and all(isinstance(word, str) for word in words)


def _reader_beside() -> Callable[..., Any]:
    """Return the `Reader` of the text_reader.py beside this file."""
    path = Path(__file__).with_name("text_reader.py")
    spec = importlib.util.spec_from_file_location("text_reader", path)
    if spec is None or spec.loader is None or not path.exists():
        raise ValueError(
            f"{path} is missing; use the serve.py of an artefact, or pass reader="
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Reader


def _shape_for(rows: Sequence[Sequence[Any]], most: int | None = None) -> tuple:
    """Return a batch shape that holds the rows, one of few, to limit compilations."""
    length = _power_of_two(max(map(len, rows), default=1))
    return _power_of_two(len(rows)), min(length, most or length)


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()


def _batches(lines: Iterable[str], *, split: bool) -> Iterator[list[str | list[str]]]:
    """Yield some sentences at a time; of `split` text, as lists of words."""
    arrived: queue.Queue[str | Exception | None] = queue.Queue(2 * BATCH)

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
            arrived.put(None)
        except Exception as error:
            arrived.put(error)

    # It may wait for a line for ever, and no end of the process waits for it.
    threading.Thread(target=read, name="lines", daemon=True).start()
    line: str | Exception | None = ""
    while isinstance(line, str):
        batch: list[str | list[str]] = []
        line = arrived.get()
        deadline = time.monotonic() + PATIENCE
        while isinstance(line, str):
            text = line.removesuffix("\n").removesuffix("\r")
            batch.append(text.split() if split else text)
            if len(batch) == BATCH:
                break
            try:
                line = arrived.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                break
        if batch:
            yield batch
    if line is not None:
        raise line


def _serve(*, split: bool) -> None:
    """Write a line of JSON for each line of the standard input."""
    if sys.stdout is None:
        raise ValueError("the standard output is closed, where the vectors go")
    served = Served(Path(__file__).parent)
    first = 0
    for batch in _batches(sys.stdin or (), split=split):
        embedded = served.embed(batch, first=first)
        first += len(batch)
        for sentence, vectors in zip(batch, embedded, strict=True):
            words = served.words(sentence)
            line = {"words": words, "vectors": vectors.round(7).tolist()}
            sys.stdout.write(json.dumps(line, ensure_ascii=_is_poor()) + "\n")
        sys.stdout.flush()


def _stop(signum: int, frame: FrameType | None) -> None:
    del frame
    _on_signals(_leave)  # Another one does not wait.
    sys.unraisablehook = functools.partial(_stop_again, signum)
    raise KeyboardInterrupt


def _stop_again(signum: int, unraisable: Any) -> None:
    """Interrupt again where Python ignored it, as in the garbage collector."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    _on_signals(_stop)
    again = threading.Timer(AGAIN, os.kill, (os.getpid(), signum))
    again.daemon = True
    again.start()


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"serve: {' '.join(text.split())}\n")


def _drop_output() -> None:
    """Have what could not be written go nowhere: Python tries once more at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_poor() -> bool:
    """Return whether the output's encoding lacks characters, which JSON can spell."""
    return not (sys.stdout.encoding or "").lower().startswith("utf")


def main() -> int:
    """Embed the lines of the standard input; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Embed lines of text from the standard input, as lines of JSON."
    )
    parser.add_argument(
        "--split",
        action="store_true",
        help="the words are already split, by white space; they are kept as they are",
    )
    is_main = threading.current_thread() is threading.main_thread()
    before, hook = _on_signals(_stop) if is_main else {}, sys.unraisablehook
    try:
        _serve(split=parser.parse_args().split)
    except BrokenPipeError:
        _drop_output()  # Whoever reads has read enough.
    except (ValueError, OSError) as error:
        _drop_output()
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say("stopped")
        return STOPPED
    finally:
        try:
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError):
            _drop_output()
        _put_back(before)
        sys.unraisablehook = hook
    return 0


if __name__ == "__main__":
    try:
        _status = main()
    finally:
        # It has come to its end; Python's own end would leave signals to the system.
        _put_back(dict.fromkeys(_before, signal.SIG_IGN))
    if _status == STOPPED:
        # Threads that come back from native code while Python ends abort the process.
        os._exit(_status)
    sys.exit(_status)
