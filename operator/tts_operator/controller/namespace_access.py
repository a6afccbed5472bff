"""Namespaces that a confined operator may read now. The others are skipped: one team's namespace stops no other."""

from collections.abc import Callable

import structlog

from tts_operator.cluster.errors import Forbidden

log = structlog.get_logger()


class NamespaceAccess:
    """Tells which of `--watch-namespaces` are skipped. A namespace that is deleted takes its RoleBinding along."""

    def __init__(self, namespaces: tuple[str, ...] = (), skipped: Callable[[int], object] = lambda _: None) -> None:
        """`skipped` is called with the number of skipped namespaces whenever it changes."""
        self.named = namespaces
        self.labels_readable = False
        """Whether the operator may watch the namespaces themselves; one that is confined never does."""
        self._refused: set[str] = set()
        self._skipped = skipped

    @property
    def confined(self) -> bool:
        """Whether the operator reads only named namespaces."""
        return bool(self.named)

    @property
    def readable(self) -> tuple[str, ...]:
        """Named namespaces without the skipped ones; empty also for an operator of the whole cluster."""
        return tuple(namespace for namespace in self.named if namespace not in self._refused)

    def listed(self) -> tuple[str, ...]:
        """Namespaces to list one by one; one empty name for a list of all."""
        return self.readable if self.confined else ("",)

    def may_read(self, namespace: str) -> bool:
        """Whether a namespace is not skipped."""
        return namespace not in self._refused

    def refused(self, namespace: str, error: Forbidden) -> None:
        """Skip a namespace from now on."""
        if namespace not in self._refused:
            self._refused.add(namespace)
            self._skipped(len(self._refused))
            log.warning("namespace skipped", namespace=namespace, error=error.message)

    def granted(self, namespace: str) -> None:
        """Skip a namespace no longer."""
        if namespace in self._refused:
            self._refused.discard(namespace)
            self._skipped(len(self._refused))
            log.info("namespace taken up again", namespace=namespace)
