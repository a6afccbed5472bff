"""The weights of a PyTorch module, as adapters change them."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tts_server.engines.pytorch.low_rank import Matrix


class ModuleWeights:
    """`Weights` of a module: a weight that the module holds under two names has the first of them."""

    def __init__(self, torch: Any, module: Any) -> None:
        self._torch = torch
        self._parameters = dict(module.named_parameters())

    def names(self) -> Iterable[str]:
        return self._parameters

    def read(self, name: str) -> Matrix:
        # A copy in any case: `numpy()` of a float32 weight on the CPU is the weight itself.
        return np.array(self._parameters[name].detach().float().cpu().numpy(), np.float32)

    def write(self, name: str, values: Matrix) -> None:
        with self._torch.no_grad():
            self._parameters[name].copy_(self._torch.from_numpy(np.ascontiguousarray(values)))
