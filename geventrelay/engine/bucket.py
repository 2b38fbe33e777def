"""How much may come in: a bucket of tokens, which fills again as time goes by. Pure; time is an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Lets `per_s` tokens pass in a second, and `most` at once. It is full at first.

    What passes may take more tokens than there are, so that a message that is larger than the bucket passes too. The
    next one waits until the debt is paid. So in any `t` seconds no more than ``most + per_s * t`` and one message pass.

    :ivar per_s: how many tokens come in a second; more than 0.
    :ivar most: how many there are at most; 1 or more.
    :ivar level: how many there were `at` that time; below 0 for a debt.
    :ivar at: a time in seconds.
    """

    per_s: float
    most: float
    level: float = 0.0
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.most

    def room(self, now: float) -> int:
        """How many whole tokens there are at the time `now`; with at least one, something may pass. Does not yield."""
        if now > self.at:
            self.level, self.at = min(self.most, self.level + self.per_s * (now - self.at)), now
        return max(0, int(self.level))

    def take(self, tokens: int) -> None:
        """Something has passed that takes so many `tokens`. Does not yield."""
        self.level -= tokens

    def wait_s(self, now: float) -> float:
        """How long from `now` until there is a token, in seconds; 0.0 if there is one. Does not yield."""
        return 0.0 if self.room(now) else (1.0 - self.level) / self.per_s

    def is_full(self, now: float) -> bool:
        """Whether at the time `now` it is as a new one. Does not yield."""
        self.room(now)
        return self.level >= self.most
