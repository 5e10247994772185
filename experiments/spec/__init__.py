"""What a scenario file says: links, placement, requests, data. Knows groups of nodes, never a node's name."""

from experiments.spec.data import DataSpec
from experiments.spec.experiment import Experiment, Scenario
from experiments.spec.function import FunctionSpec
from experiments.spec.links import LinkSpec
from experiments.spec.loading import SCENARIOS, load, resolved
from experiments.spec.requests import RequestSpec, TransportSpec

__all__ = [
    "SCENARIOS",
    "DataSpec",
    "Experiment",
    "FunctionSpec",
    "LinkSpec",
    "RequestSpec",
    "Scenario",
    "TransportSpec",
    "load",
    "resolved",
]
