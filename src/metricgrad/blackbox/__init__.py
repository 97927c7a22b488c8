"""A metric that is one number for a whole set, computed by anything: what a search for it is made of."""

from metricgrad.blackbox.adapter import HeadAdapter as HeadAdapter
from metricgrad.blackbox.adapter import within_radius as within_radius
from metricgrad.blackbox.candidates import Proposer as Proposer
from metricgrad.blackbox.candidates import Tried as Tried
from metricgrad.blackbox.candidates import as_candidate as as_candidate
from metricgrad.blackbox.candidates import as_numbers as as_numbers
from metricgrad.blackbox.evolution import antithetic_directions as antithetic_directions
from metricgrad.blackbox.evolution import centered_ranks as centered_ranks
from metricgrad.blackbox.evolution import evolution_gradient as evolution_gradient
from metricgrad.blackbox.evolution import usable_pairs as usable_pairs
from metricgrad.blackbox.gate import CrossFit as CrossFit
from metricgrad.blackbox.gate import Gain as Gain
from metricgrad.blackbox.gate import Permutations as Permutations
from metricgrad.blackbox.gate import cross_fit_gain as cross_fit_gain
from metricgrad.blackbox.gate import paired_bootstrap as paired_bootstrap
from metricgrad.blackbox.gate import paired_bootstrap_of_calls as paired_bootstrap_of_calls
from metricgrad.blackbox.gate import permutation_check as permutation_check
from metricgrad.blackbox.local_ridge import LocalRidge as LocalRidge
from metricgrad.blackbox.mixture import continuing_weights as continuing_weights
from metricgrad.blackbox.mixture import default_clip as default_clip
from metricgrad.blackbox.mixture import default_radius as default_radius
from metricgrad.blackbox.mixture import elite_mean as elite_mean
from metricgrad.blackbox.mixture import first_candidates as first_candidates
from metricgrad.blackbox.mixture import mixture_weights as mixture_weights
from metricgrad.blackbox.policy_gradient import kl_to_start as kl_to_start
from metricgrad.blackbox.policy_gradient import minimum_risk_loss as minimum_risk_loss
from metricgrad.blackbox.policy_gradient import policy_advantages as policy_advantages
from metricgrad.blackbox.policy_gradient import policy_gradient_loss as policy_gradient_loss
from metricgrad.blackbox.policy_gradient import set_credit as set_credit
from metricgrad.blackbox.proposer import OptunaProposer as OptunaProposer
from metricgrad.blackbox.proposer import default_sampler as default_sampler
from metricgrad.blackbox.soup import Interpolation as Interpolation
from metricgrad.blackbox.soup import Soup as Soup
from metricgrad.blackbox.soup import greedy_soup as greedy_soup
from metricgrad.blackbox.soup import interpolation as interpolation
from metricgrad.blackbox.value_function import Interpolated as Interpolated
from metricgrad.blackbox.value_function import clear_pairs as clear_pairs
from metricgrad.blackbox.value_function import combined_direction as combined_direction
from metricgrad.blackbox.value_function import interpolated_values as interpolated_values
from metricgrad.blackbox.value_function import value_loss as value_loss
from metricgrad.blackbox.value_model import ValueModel as ValueModel

__all__ = [
    "CrossFit",
    "Gain",
    "HeadAdapter",
    "Interpolated",
    "Interpolation",
    "LocalRidge",
    "OptunaProposer",
    "Permutations",
    "Proposer",
    "Soup",
    "Tried",
    "ValueModel",
    "antithetic_directions",
    "as_candidate",
    "as_numbers",
    "centered_ranks",
    "clear_pairs",
    "combined_direction",
    "continuing_weights",
    "cross_fit_gain",
    "default_clip",
    "default_radius",
    "default_sampler",
    "elite_mean",
    "evolution_gradient",
    "first_candidates",
    "greedy_soup",
    "interpolated_values",
    "interpolation",
    "kl_to_start",
    "minimum_risk_loss",
    "mixture_weights",
    "paired_bootstrap",
    "paired_bootstrap_of_calls",
    "permutation_check",
    "policy_advantages",
    "policy_gradient_loss",
    "set_credit",
    "usable_pairs",
    "value_loss",
    "within_radius",
]
