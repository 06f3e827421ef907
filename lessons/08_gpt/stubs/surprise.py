"""A loss in words that people can compare."""


def perplexity(nats_per_token: float) -> float:
    """Among how many equally likely tokens one would be as unsure: e to the power of it; inf from 700 nats on."""
    raise NotImplementedError


def bits_per_byte(nats: float, n_bytes: int) -> float:
    """The surprise of a whole text, in bits, for each byte of it in UTF-8."""
    raise NotImplementedError
