"""The recipe: one YAML file as frozen, validated data.

``Recipe`` says what a recipe may hold. The options of plugins are checked by ``hepanom.plugins.build``, which reports
all mistakes of both kinds at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from hepanom import draws
from hepanom.document import Document, Place
from hepanom.optimizers import WITHOUT_GRADIENTS, Adam, Optimizer
from hepanom.options import DEVICE, LABEL, SIZE, Section, Share, check_options
from hepanom.space import SearchOptions
from hepanom.thresholds import Rule, rule_mistake

Yield = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Use(Section):
    """A plugin by name, its options beside the name."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    use: str = Field(description="name of the plugin")

    @property
    def options(self) -> dict[str, Any]:
        """Return the plugin's options as they stand in the recipe."""
        return dict(self.model_extra or {})


class Score(Use):
    """A scorer; ``name`` tells two uses of the same scorer apart."""

    name: str | None = Field(
        default=None, pattern=LABEL, description="name in every table; the scorer's own by default"
    )

    @property
    def label(self) -> str:
        """Return the name of the score in every table and file."""
        return self.name or self.use.rpartition(":")[2]


class Split(Section):
    """Who trains and who tests, by a hash of the event id and ``seed`` alone, or by a column of the file.

    Without ``column`` the four shares sum to one. With it ``train`` and ``test`` list values of that column, and
    ``valid`` and ``calibrate`` are shares taken out of the training values. ``calibrate: 0`` sets the thresholds on
    ``valid``.
    """

    column: str | None = Field(default=None, description="column beside the features that says who trains")
    train: Annotated[float, Field(gt=0, lt=1)] | tuple[str | int, ...] = Field(
        default=0.5, description="share that trains, or the column's values that do"
    )
    valid: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="share on which a training is judged while it goes on"
    )
    calibrate: Share = Field(default=0.1, description="share whose background sets the thresholds")
    test: Annotated[float, Field(gt=0, lt=1)] | tuple[str | int, ...] = Field(
        default=0.3, description="share that is evaluated, or the column's values that are"
    )
    seed: int = Field(default=0, ge=0, description="other seeds split otherwise")


class Stop(Section):
    """A rule that ends a training early: what it watches was below or above a value, so many epochs in a row."""

    when: str = Field(
        min_length=1, description="a loss term or a diagnostic, as the report names them, or `validation`"
    )
    below: float | None = Field(default=None, allow_inf_nan=False, description="it ends where the value is smaller")
    above: float | None = Field(default=None, allow_inf_nan=False, description="it ends where the value is larger")
    epochs: int = Field(default=1, ge=1, description="epochs in a row")
    after: int = Field(default=0, ge=0, description="epochs at the beginning that do not count")

    @model_validator(mode="after")
    def _one_side(self) -> Stop:
        if (self.below is None) == (self.above is None):
            raise PydanticCustomError("side", "a rule has one limit, such as below: 0.01, or above: 0.999")
        return self


class Train(Section):
    """How the networks are trained."""

    on: Literal["background", "all"] = Field(
        default="background",
        description="which events of the training and valid shares transforms, networks and scorers learn from; "
        "thresholds come from background alone, where it is known",
    )
    per: str | None = Field(default=None, description="column whose values get a model each")
    epochs: int = Field(default=100, ge=1, description="times that all training events are seen, at most")
    batch: int = Field(default=512, ge=2, description="events between two steps of the optimizer")
    optimizer: Optimizer = Field(
        default=Adam(), description="what changes the weights: one of torch.optim, or one without gradients"
    )
    patience: int | None = Field(
        default=None, ge=1, description="epochs without a better validation loss before the stop"
    )
    stop: tuple[Stop, ...] = Field(default=(), description="rules that end a training early, with its best weights")
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient")
    replicas: int = Field(
        default=1, ge=1, description="trainings that differ in their seed alone; at once where they can"
    )
    weighted: bool | Literal["absolute"] = Field(
        default=True, description="use event weights, not at all, or their magnitude"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the products in training: bfloat16 is mixed precision; validation and scores are float32",
    )
    device: str = Field(
        default="auto", pattern=DEVICE, description="where networks run; auto is a GPU, if there is one"
    )
    threads: int = Field(default=1, ge=1, description="CPU threads; small networks are fastest with one")

    @model_validator(mode="after")
    def _gradient(self) -> Train:
        if self.clip is not None and isinstance(self.optimizer, WITHOUT_GRADIENTS):
            raise PydanticCustomError(
                "gradient", f"clip is for gradients, which {self.optimizer.use} does not follow; leave it out"
            )
        return self


Metric = Literal[
    "auc",
    "ams",
    "max_ams",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "mcc",
    "signal_efficiency",
    "rejection",
    "max_sic",
]


class LatentCodes(Section):
    """A linear classifier and clusters on the latent codes of test events whose class is known."""

    labelled: float = Field(default=0.15, gt=0, le=1, description="share of them whose labels the classifier may see")
    test: float = Field(default=0.3, gt=0, lt=1, description="share of those that tests it")
    events: int = Field(default=20_000, ge=100, description="test events whose codes are looked at")
    picture: Literal["pca", "tsne", "none"] = Field(
        default="pca", description="how codes of more than two dimensions are drawn, coloured by class"
    )


class Evaluate(Section):
    """Which numbers are quoted, on the test share."""

    metrics: tuple[Metric, ...] = Field(
        default=("auc", "f1", "mcc", "signal_efficiency", "max_sic"), description="the numbers"
    )
    expected: dict[str, Yield] = Field(default={}, description="expected yield of a class in the whole test share")
    b_reg: float = Field(default=10.0, ge=0, description="regularization of the AMS, in expected background events")
    resamples: int = Field(default=100, ge=10, description="bootstrap resamples behind the intervals")
    latent: LatentCodes | None = Field(default=None, description="what the latent codes know of the classes")
    against: tuple[str, ...] = Field(
        default=(), description="columns that no score should depend on, such as a mass: profiles and shapes"
    )
    pictures: bool = Field(
        default=True, description="generated events, latent traversals and canvases, where the model can give them"
    )


class Recipe(Section):
    """Everything that a run is made of."""

    name: str = Field(min_length=1, description="name of the run in MLflow and in the report")
    seed: int = Field(default=0, ge=0, description="of the first weights, the order of events and all noise")
    plugins: str | None = Field(default=None, description="folder with plugin files")
    memory: str | None = Field(
        default=None,
        pattern=SIZE,
        description="what the events may take of it, such as 2 GB; a quarter of the machine's by default",
    )
    data: Use = Field(description="a reader and its options")
    background: tuple[str, ...] = Field(
        default=(), description="classes that are background; without classes, everything is"
    )
    split: Split = Field(default=Split(), description="who trains and who tests")
    transforms: tuple[Use, ...] = Field(
        default=(), description="what happens to events before the model, in this order"
    )
    model: Use = Field(description="a model and its options")
    train: Train = Field(default=Train(), description="how it is trained")
    scores: tuple[Score, ...] = Field(min_length=1, description="scorers and their options; the first counts most")
    thresholds: tuple[Rule, ...] = Field(default=(), description="rules that turn each score into a cut")
    evaluate: Evaluate = Field(default=Evaluate(), description="which numbers are quoted, on the test share")
    search: SearchOptions | None = Field(default=None, description="how `hepanom search` varies the recipe")


def check(document: Document) -> tuple[Recipe | None, list[str]]:
    """Validate everything but plugin options; return (recipe or None, every mistake with its place)."""
    recipe, problems = check_options(Recipe, document.plain, (), document)
    found = [*_split_mistakes(document), *_rule_mistakes(document), *_repeated(document), *_search_mistakes(document)]
    return recipe, problems + [f"{document.where(place)}: {text}" for place, text in found]


def _sound(kind: type[Section], plain: Any, document: Document) -> Any:
    """Return a part of the recipe, or None where its types are wrong, which is said elsewhere."""
    return check_options(kind, plain, (), document)[0]


def _items(document: Document, key: str, kind: type[Section]) -> list[Any]:
    items = document.plain.get(key)
    return [_sound(kind, item, document) for item in items] if isinstance(items, list) else []


def _split_mistakes(document: Document) -> Iterator[tuple[Place, str]]:
    """Yield what types alone cannot say of the split."""
    split = _sound(Split, document.plain.get("split", {}), document)
    if split is None:
        return
    if split.column is None:
        if isinstance(split.train, tuple) or isinstance(split.test, tuple):
            yield ("split",), "lists of values need the column that holds them: column: NAME"
        elif abs((total := split.train + split.valid + split.calibrate + split.test) - 1) > 1e-9:
            yield ("split",), f"the shares train, valid, calibrate and test sum to {total:g}; expected 1"
        return
    for share in ("train", "test"):
        if not isinstance(getattr(split, share), tuple):
            yield ("split", share), f"with a column this is a list of its values, such as {share}: [t]"
    if isinstance(split.train, tuple) and isinstance(split.test, tuple):
        for value in sorted(set(map(str, split.train)) & set(map(str, split.test))):
            yield ("split", "test"), f"{value} trains too; an event is for training or for the test"
    if split.valid + split.calibrate >= 1:
        yield ("split", "valid"), "valid and calibrate leave nothing to train on; their sum must be < 1"


def _rule_mistakes(document: Document) -> Iterator[tuple[Place, str]]:
    """Yield what types alone cannot say of the rules."""
    train = _sound(Train, document.plain.get("train", {}), document)
    replicas = train.replicas if train else 1
    for index, rule in enumerate(_items(document, "thresholds", Rule)):
        place = ("thresholds", index)
        if rule is not None and (found := rule_mistake(rule.rule, rule.value, rule.input_rate, rule.per)):
            option, text = found
            yield (*place, option) if option else place, text
        elif rule is not None and rule.value in (0, 1) and rule.rule not in ("value", "background_rate"):
            yield (*place, "value"), f"found {rule.value}; a {rule.rule} lies between 0 and 1"
        elif rule is not None and rule.rule == "value" and replicas > 1:
            yield place, "a value cuts the score of one training, and several decide by their mean rank; replicas: 1"


def _search_mistakes(document: Document) -> Iterator[tuple[Place, str]]:
    """Yield what types alone cannot say of the search."""
    wanted = document.plain.get("search")
    options = None if wanted is None else _sound(SearchOptions, wanted, document)
    if options is None:
        return
    yield from draws.mistakes(options, document)
    split = _sound(Split, document.plain.get("split", {}), document)
    if split is not None and split.calibrate == 0:
        text = "a search judges on valid, so that the thresholds need a share of their own: calibrate: 0.1"
        yield ("split", "calibrate"), text


def _repeated(document: Document) -> Iterator[tuple[Place, str]]:
    """Yield the scores and thresholds that would share a name in every table."""
    for key, kind in (("scores", Score), ("thresholds", Rule)):
        labels = [item and item.label for item in _items(document, key, kind)]
        for index, label in enumerate(labels):
            if label and label in labels[:index]:
                yield (key, index), f"{label} is there twice; give one of them a name: NAME"
