"""JetStream as durable work needs it: what is asked of its API, and what its answers mean. Pure.

The work of one name is a stream of NATS with the retention of a work queue, and one consumer that all devices share: a
message goes to one of them, and is there until that one has acknowledged it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..subjects import Subjects
from .questions import NO_RESPONDERS, Answer

CONSUMER = "geventrelay"
"""What the consumer is called that all devices of one name share."""
ACK, NAK, IN_PROGRESS, TERMINATE = b"+ACK", b"-NAK", b"+WPI", b"+TERM"
"""What a device says of a message: it is done, another is to have it, it goes on, none is to have it."""

MOST_REPLICAS = 3
"""So many servers have each message, where there are as many."""

STREAM_NOT_FOUND, CONSUMER_NOT_FOUND = 10059, 10014
NAME_IN_USE = 10058
NOT_CLUSTERED, NO_PEERS = 10074, 10005
TOO_LARGE = 10054

_API = "$JS.API."
_ACKNOWLEDGED = ["$JS", "ACK"]
# By it, and by two more words, servers find the way back between clusters, for a moment after something was made.
_BETWEEN_CLUSTERS = "_GR_"
_NS = 1_000_000_000
_MOST_NUMBER = 2**63
# As servers have it, said here since docs/scaling.rst says so: a message with an id they have seen is no second one.
_DUPLICATES_S = 120
_ACK_WAIT_S = 30
_PULL_S = 2


class JetStream:
    """What is asked for the work of one name.

    :param subjects: the subjects of that name.
    """

    def __init__(self, subjects: Subjects) -> None:
        self.stream = subjects.stored.replace(".", "+")
        """The name of the stream, in which there must be no dots."""
        self.subject = subjects.stored
        """Where messages are sent to be stored."""
        self.expecting = {"Nats-Expected-Stream": self.stream}
        """The header by which no other stream answers for this one."""
        self.about_stream = f"{_API}STREAM.INFO.{self.stream}"
        self.about_consumer = f"{_API}CONSUMER.INFO.{self.stream}.{CONSUMER}"
        self.pulling = f"{_API}CONSUMER.MSG.NEXT.{self.stream}.{CONSUMER}"
        """Where one message is asked for."""

    def create_stream(self, replicas: int) -> tuple[str, bytes]:
        """Where and how to ask for the stream to be made, with so many `replicas`."""
        # Nothing else: with limits, a server drops work, or takes none any more.
        config = {
            "name": self.stream,
            "subjects": [self.subject],
            "retention": "workqueue",
            "storage": "file",
            "num_replicas": replicas,
            "duplicate_window": _DUPLICATES_S * _NS,
            "discard": "old",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msg_size": -1,
        }
        return f"{_API}STREAM.CREATE.{self.stream}", json.dumps(config).encode()

    def create_consumer(self) -> tuple[str, bytes]:
        """Where and how to ask for the consumer to be made."""
        config = {
            "durable_name": CONSUMER,
            "ack_policy": "explicit",
            "ack_wait": _ACK_WAIT_S * _NS,
            # A limit would lose what was tried so often.
            "max_deliver": -1,
            "max_ack_pending": -1,
            "deliver_policy": "all",
            "replay_policy": "instant",
        }
        body = {"stream_name": self.stream, "config": config}
        return f"{_API}CONSUMER.DURABLE.CREATE.{self.stream}.{CONSUMER}", json.dumps(body).encode()

    def has_delivered(self, reply: str) -> bool:
        """Whether what is acknowledged at `reply` comes from this stream, by its consumer."""
        return _acknowledged(reply)[:2] == [self.stream, CONSUMER]

    def why_no_stream(self, config: Mapping[str, Any]) -> str:
        """Why a stream of this `config`, which was there before, is of no use; empty if it is."""
        if config.get("retention") != "workqueue":
            return f"stream {self.stream} has retention {config.get('retention')}, not workqueue"
        subjects = config.get("subjects")
        if not isinstance(subjects, list) or self.subject not in subjects:
            return f"stream {self.stream} does not have the subject {self.subject}"
        if config.get("discard") == "new" and _limit(config, "max_bytes") > 0:
            # nats-server#4771
            return f"stream {self.stream} has discard new with max_bytes, with which a server may lose work"
        return ""

    def why_no_consumer(self, config: Mapping[str, Any]) -> str:
        """Why a consumer of this `config`, which was there before, is of no use; empty if it is."""
        name = f"consumer {CONSUMER} of stream {self.stream}"
        if config.get("deliver_subject"):
            return f"{name} is pushed, not pulled"
        if config.get("ack_policy") != "explicit":
            return f"{name} has ack policy {config.get('ack_policy')}, not explicit"
        if _limit(config, "max_deliver") > 0:
            return f"{name} has a limit of deliveries, which loses work"
        return ""


PULL = json.dumps({"batch": 1, "expires": _PULL_S * _NS}).encode()
"""Asks for one message, which may come a while later."""
PULL_WAIT_S = _PULL_S + 1.0
"""After so long without an answer to that, it was lost."""


MOST_ANSWER_BYTES = 256 * 1024
"""What is longer is no answer of JetStream: another program's could take a tenth of a second to be read."""


def result_of(answer: Answer) -> tuple[dict[str, Any], int, str]:
    """What an `answer` of the API says, the code of its error (0 for none, -1 for one without), and that in words."""
    if answer.status:
        if answer.status == NO_RESPONDERS:
            return {}, -1, "the server has no JetStream"
        return {}, -1, f"{answer.status} {answer.reason}".strip()
    try:
        said = json.loads(answer.data) if len(answer.data) <= MOST_ANSWER_BYTES else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return {}, -1, "an answer that is none of JetStream"
    error = said.get("error")
    if isinstance(error, dict):
        code = error.get("err_code")
        words = " ".join(str(error.get("description", "an error")).split())
        return said, code if isinstance(code, int) and code else -1, words
    return said, 0, ""


def config_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in what an answer has `said`; empty if it has none."""
    config = said.get("config")
    return config if isinstance(config, dict) else {}


def held(said: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many messages a stream holds by what an answer has `said`, and how many bytes; None where it does not say."""
    state = said.get("state")
    found = (state.get(key) if isinstance(state, dict) else None for key in ("messages", "bytes"))
    # What is shown is what an integer of theirs can be.
    messages, nbytes = (one if type(one) is int and 0 <= one < 2**64 else None for one in found)
    return messages, nbytes


def replicas(config: Mapping[str, Any]) -> int:
    """How many servers have each message of a stream of this `config`."""
    return max(1, _limit(config, "num_replicas"))


def _limit(config: Mapping[str, Any], key: str) -> int:
    """A number in a `config`; -1 for no limit, and for what is no number."""
    value = config.get(key)
    return value if isinstance(value, int) and abs(value) <= _MOST_NUMBER else -1


def ack_wait_s(config: Mapping[str, Any]) -> float:
    """How long a consumer of this `config` waits for what becomes of a message, in seconds."""
    wait = _limit(config, "ack_wait")
    return wait / _NS if wait > 0 else float(_ACK_WAIT_S)


def deliveries(reply: str) -> int:
    """How often a message was delivered, this time included; 0 if that is not known.

    :param reply: the subject where it is acknowledged, which says so.
    """
    _, _, word, *_ = _acknowledged(reply) or ("", "", "")
    return int(word) if word.isdecimal() else 0


def _acknowledged(reply: str) -> list[str]:
    """What `reply`, where a message is acknowledged, says: its stream, its consumer, how often, and more.

    Empty if it is no such subject.
    """
    words = reply.split(".")
    if words[0] == _BETWEEN_CLUSTERS:
        del words[:3]
    if words[:2] != _ACKNOWLEDGED or len(words) < 9:
        return []
    # Newer servers have a domain and an account before the stream.
    return words[2:] if len(words) == 9 else words[4:]
