"""ClusterError
├─ CommandError      a program ended badly; its last words are the message
└─ CannotRunError          this machine cannot hold the cluster that was asked for; the message names the ways to go on
"""

from __future__ import annotations


class ClusterError(Exception):
    """Something a developer must read; printed without a traceback."""


class CommandError(ClusterError):
    """A program that had to succeed did not."""


class CannotRunError(ClusterError):
    """The machine lacks what this needs."""
