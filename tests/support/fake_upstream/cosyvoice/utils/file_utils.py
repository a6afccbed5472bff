"""Upstream's module of this name, as far as the engines call it."""

import numpy as np


def load_wav(wav, target_sr, min_sr=16000):  # type: ignore[no-untyped-def]  # signatures are upstream's
    return np.zeros((1, target_sr), np.float32)
