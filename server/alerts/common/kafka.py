"""Clients of Kafka, made from the settings' options; errors name the option, and no secret.

Options go to librdkafka as they are (its CONFIGURATION.md lists them): SASL by ``sasl.mechanism``,
``sasl.username`` and ``sasl.password``; OAuth as GCN has it by ``sasl.mechanism: OAUTHBEARER``,
``sasl.oauthbearer.method: oidc``, ``sasl.oauthbearer.client.id`` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["client", "without_secrets"]

_SECRET = re.compile(r"password|passphrase|secret|\.key$|\.pem$|config$")


def client(make: Callable[[dict[str, Any]], Any], where: str, options: Mapping[str, str],
           usual: Mapping[str, Any], ours: Mapping[str, Any]) -> Any:
    """A client with the usual options, those of the settings over them, and over these what we need.

    Raises OSError, which names the setting `where` and the option in it.
    """
    from confluent_kafka import KafkaException

    if taken := sorted(options.keys() & ours.keys()):
        raise OSError(f"{where}: {taken[0]}: this one is set by the program itself")
    try:
        return make({**usual, **options, **ours})
    except KafkaException as error:
        raise OSError(_refusal(where, options, error.args[0].str())) from None
    except (TypeError, ValueError) as error:
        raise OSError(_refusal(where, options, str(error))) from None


def _refusal(where: str, options: Mapping[str, str], said: str) -> str:
    """What librdkafka says of an option, which it does not always name."""
    named = any(name in said for name in options)
    guessed = next((name for name, value in options.items() if value and value in said), "")
    text = f"{where}: {'' if named or not guessed else f'{guessed}: '}{said}"
    return without_secrets(options, text)


def without_secrets(options: Mapping[str, str], text: str) -> str:
    """A text without the values of options that are secret by their names."""
    for name, value in options.items():
        if value and _SECRET.search(name):
            text = text.replace(value, "***")
    return text
