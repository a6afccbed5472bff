"""`kubectl tts keygen`: makes an API key for a tenant or for the Secret that one reads."""

from tts_operator.cli.keys_command import add_keygen_flags as add_flags
from tts_operator.cli.keys_command import keygen as run

__all__ = ["add_flags", "run"]
