"""Facts that both programs state agree: the operator imports nothing of the server but its files."""

from tts_operator.api import model as api_model
from tts_operator.settings import Settings
from tts_server.config.schema import QuotaConfig, ServerConfig
from tts_server.routing import fallback as server_fallback


def test_the_operator_makes_no_chain_that_the_server_would_refuse() -> None:
    assert api_model.LONGEST_CHAIN == server_fallback.LONGEST_CHAIN


def test_what_holds_without_a_word_is_the_same_with_an_operator_and_without() -> None:
    settings = Settings(server_image="")
    assert settings.max_text_characters == QuotaConfig().max_text_characters
    assert settings.drain_seconds == ServerConfig.model_fields["drain_seconds"].default
