"""The optimizers that a recipe may choose, with their options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from hepanom.options import Section, Share

Decay = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, description="learning rate: factor of a step")]
Momentum = Annotated[float, Field(ge=0, description="share of the last step that is in the next")]
Floor = Annotated[float, Field(gt=0, description="added to the denominator, which may be zero")]
WeightDecay = Annotated[float, Field(ge=0, description="factor of the weights that is added to their gradient")]
MeanSquare = Annotated[Share, Field(description="decay of the running mean of the squared gradient")]


class Adam(Section):
    """Adam (D. Kingma, J. Ba, 2014, arXiv:1412.6980)."""

    use: Literal["adam"] = "adam"
    lr: Rate = 1e-3
    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.999), description="decay of the running means of the gradient and of its square"
    )
    eps: Floor = 1e-8
    weight_decay: WeightDecay = 0.0
    amsgrad: bool = Field(default=False, description="divide by the largest mean square so far, not by the last")


class SGD(Section):
    """Stochastic gradient descent with (Nesterov) momentum."""

    use: Literal["sgd"]
    lr: Rate = 1e-2
    momentum: Momentum = 0.0
    dampening: float = Field(default=0.0, ge=0, description="share of the gradient that the momentum leaves out")
    nesterov: bool = Field(default=False, description="take the gradient where the momentum leads")
    weight_decay: WeightDecay = 0.0

    @model_validator(mode="after")
    def _nesterov(self) -> SGD:
        if self.nesterov and (self.momentum == 0 or self.dampening > 0):
            raise PydanticCustomError("nesterov", "nesterov needs momentum above 0 and dampening 0")
        return self


class Adadelta(Section):
    """Adadelta (M. Zeiler, 2012, arXiv:1212.5701)."""

    use: Literal["adadelta"]
    lr: Rate = 1.0
    rho: MeanSquare = 0.9
    eps: Floor = 1e-6
    weight_decay: WeightDecay = 0.0


class Adagrad(Section):
    """Adagrad (J. Duchi, E. Hazan, Y. Singer, JMLR 12 (2011) 2121)."""

    use: Literal["adagrad"]
    lr: Rate = 1e-2
    lr_decay: float = Field(default=0.0, ge=0, description="the rate is lr / (1 + lr_decay * steps)")
    initial_accumulator_value: float = Field(default=0.0, ge=0, description="where the sum of squared gradients begins")
    eps: Floor = 1e-10
    weight_decay: WeightDecay = 0.0


class RMSprop(Section):
    """RMSprop (T. Tieleman, G. Hinton, 2012), with momentum or centred as in A. Graves, arXiv:1308.0850."""

    use: Literal["rmsprop"]
    lr: Rate = 1e-2
    alpha: MeanSquare = 0.99
    eps: Floor = 1e-8
    momentum: Momentum = 0.0
    centered: bool = Field(default=False, description="divide by the gradient's spread, not by its mean square")
    weight_decay: WeightDecay = 0.0


class CMAES(Section):
    """CMA-ES, without gradients (N. Hansen, 2016, arXiv:1604.00772); one generation per batch."""

    use: Literal["cmaes"]
    sigma: float = Field(default=0.1, gt=0, description="first step size, in the units of the weights")
    population: int | None = Field(
        default=None, ge=4, description="candidates per generation; 4 + 3 ln n for n parameters by default"
    )
    covariance: Literal["full", "diagonal"] = Field(
        default="full", description="of the search; diagonal costs n instead of n^3 for n parameters"
    )


class Genetic(Section):
    """Genetic algorithm (J. Rojo, Machine Learning for Physics and Astronomy, 2020); one generation per batch."""

    use: Literal["genetic"]
    population: int = Field(default=64, ge=4, description="individuals of a generation")
    selection: Literal["tournament", "elite"] = Field(
        default="tournament", description="parents win a tournament, or are the elite"
    )
    elite: int = Field(default=4, ge=1, description="best individuals, which survive unchanged")
    tournament: int = Field(default=3, ge=2, description="individuals drawn for each parent, of which the best is it")
    crossover: Share = Field(default=0.9, description="probability that the children of two parents are mixed")
    mutation: Share = Field(default=0.1, description="probability that a parameter of a child mutates")
    sigma: float = Field(default=0.5, gt=0, description="width of the first mutations, in the units of the weights")
    decay: float = Field(default=0.5, ge=0, description="power of the generation by which the width falls")

    @model_validator(mode="after")
    def _children(self) -> Genetic:
        if self.elite >= self.population:
            raise PydanticCustomError("children", "elite needs to be below population, which leaves room for children")
        return self


WITHOUT_GRADIENTS = (CMAES, Genetic)


def _which(optimizer: Any) -> Any:
    """Return the optimizer's name; without one it is Adam."""
    return optimizer.get("use", "adam") if isinstance(optimizer, dict) else getattr(optimizer, "use", None)


Optimizer = Annotated[
    Annotated[Adam, Tag("adam")]
    | Annotated[SGD, Tag("sgd")]
    | Annotated[Adadelta, Tag("adadelta")]
    | Annotated[Adagrad, Tag("adagrad")]
    | Annotated[RMSprop, Tag("rmsprop")]
    | Annotated[CMAES, Tag("cmaes")]
    | Annotated[Genetic, Tag("genetic")],
    Discriminator(_which),
]
