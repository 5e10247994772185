"""What a scenario file says: links, placement, requests, data. Knows groups of nodes, never a node's name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from experiments.errors import SpecError

SCENARIOS = Path(__file__).resolve().parent
Share = Annotated[float, Field(gt=0, lt=1)]
# A part of host names, of file names and of a run's id.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
# Rounding of shares such as 0.2 + 0.4 + 0.4 must not be called more than one.
SHARES_TOLERANCE = 1e-9
# A draw below zero sends at once, which bends the distribution: how deep each reaches, in units of the jitter.
DEPTH = {"normal": 4.0, "pareto": 2 / 3, "paretonormal": 1.5, "uniform": 1.0}
MOST_PERCENT = 100
# Knative's shortest window without requests (6 s), its grace period (30 s), and the time a replica takes to end.
SHORTEST_IDLE_S = 60
Percent = Annotated[float, Field(ge=0, le=100)]


M = TypeVar("M", bound=BaseModel)


class Model(BaseModel):
    """Frozen; a key that is not known is an error, and so is a number without end."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ChainSpec(Model):
    """Loss in bursts by Gilbert's and Elliott's chain: chances to enter and leave its bad state, loss in each."""

    enter_percent: float = Field(gt=0, le=100)
    leave_percent: float = Field(gt=0, le=100)
    bad_loss_percent: Percent = 100
    good_loss_percent: Percent = 0


class LinkSpec(Model):
    """A one-way path between every ordered pair of nodes of two groups, as roles/netem's ``netem_links`` has it."""

    between: Literal["all"] | tuple[str, str] = "all"
    delay_ms: float = Field(ge=0, le=10_000)
    jitter_ms: float = Field(ge=0, default=0)
    distribution: Literal["normal", "pareto", "paretonormal", "uniform"] | None = None
    loss_percent: Percent = 0
    loss_correlation_percent: float | None = Field(ge=0, lt=100, default=None)
    gilbert_elliott: ChainSpec | None = None
    duplicate_percent: Percent | None = None
    corrupt_percent: Percent | None = None
    rate_mbit: float | None = Field(gt=0, default=None)
    limit_packets: int | None = Field(gt=0, lt=2**31, default=None)
    reorder: bool = True
    seed: int | None = Field(ge=0, lt=2**32, default=None)

    @field_validator("between", mode="before")
    @classmethod
    def _all_or_two_groups(cls, value: object) -> object:
        pair = isinstance(value, list | tuple) and [type(group) for group in value] == [str, str]
        if value != "all" and not pair:
            raise ValueError(f"{value!r} is neither all nor two groups, such as [base_stations, edge]")
        return value

    @model_validator(mode="after")
    def _jitter_fits_the_delay(self) -> LinkSpec:
        distribution = self.distribution or "normal"
        most_ms = self.delay_ms / DEPTH[distribution]
        if self.jitter_ms > most_ms:
            share = "a quarter of" if distribution == "normal" else f"{distribution} bears with"
            raise ValueError(
                f"jitter_ms {self.jitter_ms:g} is more than {share} delay_ms {self.delay_ms:g}: a {distribution} "
                f"distribution would fall below zero; use at most {most_ms:g}"
            )
        return self

    @model_validator(mode="after")
    def _loss_is_said_once(self) -> LinkSpec:
        if self.gilbert_elliott and (self.loss_percent or self.loss_correlation_percent):
            raise ValueError("gilbert_elliott says how frames are lost, and so does loss_percent; keep one of them")
        if self.loss_correlation_percent and not 0 < self.loss_percent < MOST_PERCENT:
            raise ValueError("loss_correlation_percent needs a loss_percent between 0 and 100 that comes in bursts")
        return self


class FunctionSpec(Model):
    """The function: what runs, how many replicas, and the first of the groups that the inventory fills.

    With ``scale_to_zero`` replicas end when nobody asks and start with the next request; only a cluster can do that.
    """

    nodes: tuple[str, ...] = Field(min_length=1)
    replicas: int = Field(ge=1)
    scale_to_zero: bool = False
    model: str = "pac"
    options: dict[str, Any] = Field(default_factory=dict)


class RequestSpec(Model):
    """A repetition's requests, sent together; one training set each. Before it, nobody asks for ``idle_s``."""

    parallel: int = Field(ge=1)
    idle_s: float = Field(ge=0, default=0)
    timeout_s: float = Field(gt=0, default=600)


class DataSpec(Model):
    """How the data set is cut: a share to test with, and a share for each request to train with."""

    test_share: Share
    training_shares: tuple[Share, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _shares_fit(self) -> DataSpec:
        total = self.test_share + sum(self.training_shares)
        if total > 1 + SHARES_TOLERANCE:
            raise ValueError(f"test_share and training_shares sum to {total:g}: together they can be 1 at most")
        return self


class TransportSpec(Model):
    """TCP on both ends of every connection of the experiment, set per socket and checked on the live one."""

    congestion_control: str = Field(default="cubic", pattern=r"^[a-z0-9_-]{2,15}$")


class Scenario(Model):
    """One scenario: what is measured, whatever the nodes."""

    name: Name
    title: str
    links: tuple[LinkSpec, ...]
    function: FunctionSpec
    requests: RequestSpec
    data: DataSpec
    transport: TransportSpec = TransportSpec()

    @model_validator(mode="after")
    def _replicas_have_time_to_end(self) -> Scenario:
        if self.function.scale_to_zero and self.requests.idle_s < SHORTEST_IDLE_S:
            raise ValueError(
                f"requests.idle_s {self.requests.idle_s:g} with function.scale_to_zero: replicas end some 40 s after "
                f"the last request; use at least {SHORTEST_IDLE_S}"
            )
        return self

    @model_validator(mode="after")
    def _one_share_a_request(self) -> Scenario:
        if len(self.data.training_shares) != self.requests.parallel:
            raise ValueError(
                f"{len(self.data.training_shares)} training_shares for {self.requests.parallel} parallel requests: "
                "each request trains on one share"
            )
        return self


class Experiment(Model):
    """Scenarios and how often each is measured: ``repetitions`` times, in shuffled blocks of ``block_repetitions``."""

    name: Name
    repetitions: int = Field(ge=1)
    warmups: int = Field(ge=0, default=1)
    block_repetitions: int = Field(ge=1, default=5)
    scenarios: tuple[Scenario, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_scenario_once(self) -> Experiment:
        names = [scenario.name for scenario in self.scenarios]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two scenarios have the name {twice}: records tell scenarios apart by their names")
        return self


def load(name: str, *, repetitions: int | None = None) -> Experiment:
    """Return the experiment of a scenario's name (a file beside this one) or of the path of a YAML file.

    A file either holds one scenario, or names others under ``scenarios``; their paths start at that file's folder.

    Raises:
        SpecError: there is no such scenario, the file is not YAML, or a key or value is wrong (file and key named).
    """
    path = _path_of(name)
    data = _read(path)
    settings: dict[str, Any] = {
        key: data.pop(key) for key in ("repetitions", "warmups", "block_repetitions") if key in data
    }
    if repetitions is not None:
        settings["repetitions"] = repetitions
    if "scenarios" in data:
        members = data.pop("scenarios")
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise SpecError(f"{path}: scenarios: must be a list of scenario names, such as [edge, cloud]")
        unknown = sorted(map(str, set(data) - {"name"}))
        if unknown:
            raise SpecError(f"{path}: {unknown[0]}: not a key of a file that lists scenarios; put it in the scenario's")
        paths = [_path_of(member, path.parent) for member in members]
        scenarios = [_scenario(member_path, _read(member_path)) for member_path in paths]
        data = {"name": data.get("name", path.stem)}
    else:
        scenarios = [_scenario(path, data)]
        data = {"name": scenarios[0].name}
    return _validate(Experiment, {**data, **settings, "scenarios": scenarios}, path)


def resolved(path: Path) -> Experiment:
    """Return the experiment that a run keeps as its ``scenario.yaml``; raises as `load`."""
    return _validate(Experiment, _read(path), path)


def _scenario(path: Path, data: dict[str, Any]) -> Scenario:
    own = {key: value for key, value in data.items() if key not in ("repetitions", "warmups", "block_repetitions")}
    return _validate(Scenario, own, path)


def _path_of(name: str, folder: Path = Path()) -> Path:
    path = folder / name if name.endswith((".yaml", ".yml")) else SCENARIOS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in SCENARIOS.glob("*.yaml")))
        raise SpecError(f"scenario {name!r}: there is no file {path}. Known scenarios: {known}; or give a .yaml file.")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(data, dict):
        raise SpecError(f"{path}: a scenario is a mapping of keys such as links and function; compare edge.yaml")
    return data


def _validate(model: type[M], data: dict[str, Any], path: Path) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError("\n".join(_sentences(error, path))) from error


def _sentences(error: ValidationError, path: Path) -> list[str]:
    said = []
    for problem in error.errors()[:2]:
        where = ".".join(map(str, problem["loc"]))
        match problem["type"]:
            case "extra_forbidden":
                what = "unknown key; check its spelling"
            case "string_pattern_mismatch":
                what = f"{problem['input']!r} is no name: use a few small letters, digits and hyphens"
            case _:
                what = problem["msg"]
        said.append(f"{path}: {where + ': ' if where else ''}{what.removeprefix('Value error, ')}")
    return said
