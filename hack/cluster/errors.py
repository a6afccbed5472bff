"""The tree of exceptions:

ClusterError
├─ CommandError      a program failed; the message ends with its output
└─ CannotRunError    this machine cannot run the cluster that was requested; the message says what to do
"""

from __future__ import annotations


class ClusterError(Exception):
    """Error whose message is for the developer; it is printed without a traceback."""


class CommandError(ClusterError):
    """A program failed that had to succeed."""


class CannotRunError(ClusterError):
    """The machine lacks something that the cluster needs."""
