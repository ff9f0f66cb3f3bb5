"""Normalizing flows: an invertible map of a table's features to a standard normal, and with it their exact density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Model, Network, Outputs
from hepanom.errors import InputError
from hepanom.events import Schema, match_columns
from hepanom_plugins.models.latent import standard_normal

try:
    from zuko.flows import MAF, NSF  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('the model flow needs the library zuko: pip install "hepanom[flows]"') from error


@dataclass(frozen=True)
class Flow(Model):
    """Autoregressive normalizing flow for a table of features, trained by maximum likelihood.

    With z = f(x), f the composition of ``transforms`` invertible autoregressive maps, and z ~ N(0, 1) of as many
    dimensions as x,

        ln p(x) = ln N(f(x); 0, 1) + ln |det df/dx|,   loss(x) = -ln p(x).

    Feature i of a map is a monotonic function of x_i whose parameters a masked network computes from x_1 .. x_{i-1};
    the order is reversed from map to map.

    - ``maf``: x_i is scaled and shifted. The tails stay those of a Gaussian, and reach everywhere.
    - ``nsf``: x_i goes through a rational-quadratic spline of ``bins`` bins. It is defined on [-5, 5] and the identity
      outside, where the density is that of N(0, 1) times what other features make of it: bring the features near 0 and
      1, by standardize, quantile or logit.

    With ``condition`` the columns that it names are not modelled: every map reads them, and the density is that of the
    other columns given these, ln p(x | c). Unlike in the papers there is no batch normalization between the maps, and
    no linear layer. Mixed precision leaves the flow alone: its density would no longer be exact.

    References:
        G. Papamakarios, T. Pavlakou, I. Murray, Masked autoregressive flow for density estimation, 2017,
        arXiv:1705.07057.
        C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, Neural spline flows, 2019, arXiv:1906.04032.
        B. Nachman, D. Shih, Anomaly detection with density estimation, Phys. Rev. D 101 (2020) 075042,
        arXiv:2001.04990, for the invariant mass as the condition.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"log_density", "latent_mean"})

    kind: Annotated[Literal["maf", "nsf"], Field(description="masked autoregressive flow, or neural spline flow")] = (
        "maf"
    )
    transforms: Annotated[int, Field(gt=0, description="number of autoregressive maps, one after the other")] = 5
    hidden: Annotated[
        tuple[Annotated[int, Field(gt=0)], ...], Field(description="hidden widths of a map's network")
    ] = (
        64,
        64,
    )
    bins: Annotated[int, Field(gt=1, description="bins of the splines of nsf")] = 8
    condition: Annotated[
        tuple[str, ...], Field(description="columns, or patterns of columns, that the density is conditional on")
    ] = ()

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table.

        Raises InputError for a condition that names no column or leaves none, and for a hidden layer too narrow to
        keep every feature's dependence on those before it.
        """
        name, table = schema.only("table")
        given = match_columns(self.condition, table.columns)
        features = [column for column in table.columns if column not in given]
        if not features:
            raise InputError(
                f"model.condition: {', '.join(self.condition)} names every column; leave one to the density"
            )
        if narrow := [width for width in self.hidden if width < len(features)]:
            raise InputError(
                f"model.hidden: a layer of {narrow[0]} nodes cannot carry {len(features)} features one by one; "
                f"{len(features)} nodes or more do"
            )
        return FlowNetwork(self, name, *([table.columns.index(c) for c in chosen] for chosen in (features, given)))

    def conditions(self, schema: Schema) -> Sequence[str]:
        """Return the columns that the patterns of ``condition`` name."""
        return match_columns(self.condition, schema.only("table")[1].columns)


class FlowNetwork(Network):
    """The maps of the Flow, for the columns ``features`` given the columns ``given`` of one table."""

    stacks = True

    def __init__(self, options: Flow, name: str, features: list[int], given: list[int]) -> None:
        super().__init__()
        self.input, self.features, self.given = name, features, given
        kind, splines = (MAF, {}) if options.kind == "maf" else (NSF, {"bins": options.bins})
        shared = {"transforms": options.transforms, "hidden_features": options.hidden}
        self.flow = kind(len(features), len(given), **shared, **splines)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the exact log density of each event and its code in the base space; there is no noise here."""
        inputs = batch.inputs[self.input]
        with torch.autocast(inputs.device.type, enabled=False):
            distribution = self.flow(inputs[:, self.given] if self.given else None)
            code, log_determinant = distribution.transform.call_and_ladj(inputs[:, self.features])
            return {"log_density": distribution.base.log_prob(code) + log_determinant, "latent_mean": code}

    def prior(self, draws: int) -> Float[Tensor, "draw latent"]:
        """Return draws of N(0, 1)."""
        return standard_normal(self, draws, len(self.features))

    def decode(
        self, codes: Float[Tensor, "code latent"], given: Batch | None = None
    ) -> Float[Tensor, "code feature"] | None:
        """Return f^-1(z), beside it the condition of each event of ``given`` in turn; None without a condition."""
        if self.given and given is None:
            return None
        table = codes.new_zeros(len(codes), len(self.features) + len(self.given))
        if given is not None:
            turn = torch.arange(len(codes), device=codes.device) % len(given)
            table[:, self.given] = given.inputs[self.input][turn][:, self.given]
        distribution = self.flow(table[:, self.given] if self.given else None)
        table[:, self.features] = distribution.transform.inv(codes)
        return table

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the negative log density of each event."""
        return {"negative_log_density": -self(batch)["log_density"]}
