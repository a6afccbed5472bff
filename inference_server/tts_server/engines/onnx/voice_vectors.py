"""Style vectors of Kokoro's voices: a folder of files, an archive of NumPy, or a single file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from tts_server.engines.voice_blend import Blend
from tts_server.errors import EngineUnavailable

STYLE_SIZE = 256
"""Numbers of one style vector."""
_KEPT_BLENDS = 64

Vectors = NDArray[np.float32]
"""The vectors of a voice, of shape (phonemes, 256): the first is for a text of one phoneme."""


class VoiceVectors(Mapping[str, Vectors]):
    """The vectors by voice. Files stay on disk, and all processes share the pages that are read."""

    def __init__(self, path: Path) -> None:
        """Open a folder with a `.bin` file of float32 for each voice, one such file, or an archive by `numpy.savez`.

        Raises `EngineUnavailable` if nothing of it is a voice.
        """
        self._vectors = dict(_opened(path))
        self._blends: dict[Blend, Vectors] = {}
        if not self._vectors:
            raise EngineUnavailable(f"There are no voices in {path}: it must contain .bin files of float32 numbers.")

    def __getitem__(self, voice: str) -> Vectors:
        return self._vectors[voice]

    def __iter__(self) -> Iterator[str]:
        return iter(self._vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, voice: str, style: NDArray[Any]) -> None:
        """Add a voice: one vector for texts of any length, or one for each length. Raises ValueError."""
        if style.ndim not in {1, 2} or style.shape[-1] != STYLE_SIZE or not style.size:
            raise ValueError(f"has the shape {list(style.shape)}; a vector has {STYLE_SIZE} numbers")
        self._vectors[voice] = style.astype(np.float32).reshape(-1, STYLE_SIZE)

    def blended(self, blend: Blend) -> Vectors:
        """Return the weighted mean of the voices' vectors."""
        found = self._blends.get(blend)
        if found is None:
            rows = min(len(self[voice]) for voice, _ in blend)
            found = np.sum([self[voice][:rows] * np.float32(weight) for voice, weight in blend], axis=0)
            while len(self._blends) >= _KEPT_BLENDS:  # callers choose the weights: there is no end of them
                del self._blends[next(iter(self._blends))]
            self._blends[blend] = found
        return found


def _opened(path: Path) -> Iterator[tuple[str, Vectors]]:
    if path.is_dir():
        for file in sorted(path.glob("*.bin")):
            yield file.stem, _mapped(file)
    elif not path.is_file():
        raise EngineUnavailable(f"There is no file or folder {path}.")
    elif is_zipfile(path):  # `voices-v1.0.bin`, as it is published, is one too
        yield from _unpacked(path)
    else:
        yield path.stem, _mapped(path)


def _mapped(file: Path) -> Vectors:
    size = file.stat().st_size
    if size == 0 or size % (STYLE_SIZE * 4):
        raise EngineUnavailable(f"{file} is not a voice of Kokoro, or only a part of one: it has {size} bytes.")
    return np.memmap(file, np.float32, "r").reshape(-1, STYLE_SIZE)


def _unpacked(file: Path) -> Iterator[tuple[str, Vectors]]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            for name in sorted(archive.files):
                yield name, np.ascontiguousarray(archive[name], np.float32).reshape(-1, STYLE_SIZE)
    except (ValueError, BadZipFile, OSError) as error:
        raise EngineUnavailable(f"{file} is not an archive of Kokoro's voices, or only a part of one.") from error
