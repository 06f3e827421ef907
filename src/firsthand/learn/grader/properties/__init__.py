"""The property library: what must hold, written once, as functions that make a Property for a lesson's list."""

from firsthand.learn.grader.properties.examples import by_hand, refuses, round_trip
from firsthand.learn.grader.properties.flow import (
    isolation,
    past_matters,
    permutation,
    perturb_future,
    prefix,
)
from firsthand.learn.grader.properties.learning import (
    cost,
    dropout_on_output,
    eval_deterministic,
    gradients,
    parameter_gradients,
    parameters,
    purity,
    weights,
)
from firsthand.learn.grader.properties.numbers import (
    constant_factor,
    distribution,
    finite,
    holds,
    parity,
    start_value,
)
from firsthand.learn.grader.properties.oracle import reference, shapes, single_precision

__all__ = [
    "by_hand",
    "constant_factor",
    "cost",
    "distribution",
    "dropout_on_output",
    "eval_deterministic",
    "finite",
    "gradients",
    "holds",
    "isolation",
    "parameter_gradients",
    "parameters",
    "parity",
    "past_matters",
    "permutation",
    "perturb_future",
    "prefix",
    "purity",
    "reference",
    "refuses",
    "round_trip",
    "shapes",
    "single_precision",
    "start_value",
    "weights",
]
