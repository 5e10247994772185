"""A run as its folder holds it: the measurements, and what is optional or damaged as a note."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from collect import load as load_of_nodes
from collect import pods, provenance, records, resources
from collect.analysis import wording
from collect.analysis.repetitions import Measurements, gather
from collect.analysis.traffic import NetworkPath
from collect.errors import CollectError
from collect.expect import Expect
from collect.folder import MOMENTS, SAMPLES, FolderError, Moment, RunFolder, earlier_parts, is_shallow, read_bytes
from collect.links import LinkReport
from collect.resources import Limited, Part, ResourceReport
from collect.sweep import Sweep
from nodes.errors import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from collect.analysis.repetitions import LinksOff
    from collect.analysis.starts import States
    from collect.load import Load

T = TypeVar("T")


class Step(BaseModel):
    """One step of a run as ``steps.json`` lists it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    step: str
    seconds: float | None = None
    status: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """All that collect knows of a run; ``notes`` are sentences about what is missing or unreadable.

    ``links_earlier`` are the verifications of parts before the run was resumed, by moment and the part's number;
    ``resources`` are the calibrations of limited replicas, part by part, and ``pods`` the times at which replicas of a
    cluster came to their states; most runs have neither.
    """

    folder: RunFolder
    measurements: Measurements
    scenario: str | None
    manifest: dict[str, Any]
    steps: tuple[Step, ...]
    links_before: LinkReport | None
    links_after: LinkReport | None
    links_earlier: dict[tuple[Moment, int], LinkReport]
    resources: tuple[Part, ...]
    notes: tuple[str, ...]
    load: tuple[Load, ...] = ()
    pods: dict[str, States] = field(default_factory=dict)
    sweep: Sweep | None = None

    @property
    def verifications(self) -> dict[Moment, LinkReport]:
        """The verifications of the links before and after measuring, as far as there are any."""
        reports: dict[Moment, LinkReport | None] = {"before": self.links_before, "after": self.links_after}
        return {moment: report for moment, report in reports.items() if report is not None}

    @property
    def limited(self) -> tuple[Limited, ...]:
        """The replicas that had less than their node."""
        return resources.limited(self.resources)

    @property
    def dataset_notes(self) -> tuple[str, ...]:
        """What the manifest says of the data set: duplicates, empty texts; sentences."""
        match self.manifest.get("dataset"):
            case {"notes": [*notes]}:
                return tuple(note for note in notes if isinstance(note, str))
        return ()


# Steps as steps.json names them: the verification before measuring, measuring, the verification after it.
GATE, MEASURING, VERIFICATION = "verify links", "measure", "verify links again"


def problems(run: Run) -> list[str]:
    """Return why what a run measured is not a result, in sentences: what found its links or limited replicas off.

    A run that was refused stays refused when it is resumed: what was measured before is not measured again. So it is
    where the gate refused the links before a run was resumed; refused before anything was measured, they say nothing.
    """
    sentences = []
    reports = list(run.verifications.items())
    judged = MOMENTS if _is_refused_after_measuring(run.steps) else ("after",)
    reports += [(moment, report) for (moment, _), report in run.links_earlier.items() if moment in judged]
    for moment, report in reports:
        off = [link for link in report.links if not link.ok]
        if off:
            named = [f"{link.name}: {', '.join(link.problems) or 'off'}" for link in off]
            sentences.append(
                f"The verification {moment} measuring found {len(off)} of {len(report.links)} links off their targets "
                f"({wording.first(named)})."
            )
    sentences += resources.problems(run.resources)
    last = [step for step in run.steps if step.step == VERIFICATION][-1:]
    if not sentences and last and last[0].status == "failed":
        sentences.append(f"The step '{VERIFICATION}' failed, so it is unknown whether the links held.")
    return sentences


def _is_refused_after_measuring(steps: Sequence[Step]) -> bool:
    """Return whether a verification before measuring failed when something was measured already."""
    has_measured = False
    for step in steps:
        if step.step == GATE and step.status == "failed" and has_measured:
            return True
        has_measured |= step.step == MEASURING
    return False


def warnings(run: Run) -> list[str]:
    """Return what a reader has to know before the numbers, in sentences.

    A plan that was not measured to its end, and replicas that the kernel ended.
    """
    return [*_incomplete(run), *resources.ended(run.resources)]


def _incomplete(run: Run) -> Iterator[str]:
    match run.manifest:
        case {"plan": {"repetitions": int(planned)}, "scenarios": [*scenarios]}:
            missing = [
                f"{measured} of {planned} of {name}"
                for name, measured in _measured(run, scenarios).items()
                if measured < planned
            ]
            if missing:
                yield f"The run is incomplete: of its planned repetitions, {' and '.join(missing)} are on record."


def _measured(run: Run, scenarios: list[Any]) -> dict[str, int]:
    """Return how many repetitions of each scenario are on record, the fewest of any base station; failed ones are."""
    measurements = run.measurements
    done = {(one.scenario, one.base_station, one.repetition) for one in measurements.finished}
    done |= {(one.scenario, one.base_station, one.repetition) for one in measurements.failures if not one.warmup}
    stations = {station for _, station, _ in done}
    counts = Counter((name, station) for name, station, _ in done)
    return {name: min(counts[name, station] for station in stations) for name in scenarios if isinstance(name, str)}


def paths(run: Run) -> dict[tuple[str, str], NetworkPath]:
    """Return what the verification before measuring found between two nodes, by their names; that after, where none."""
    report = run.links_before or run.links_after
    by_pair = {(link.link.source, link.link.target): link for link in report.links} if report is not None else {}
    found = {}
    for (source, target), link in by_pair.items():
        back = by_pair.get((target, source))
        round_trip_ms = link.round_trip_ms or (
            link.delay.mean_ms + back.delay.mean_ms if link.delay and back is not None and back.delay else None
        )
        if round_trip_ms is not None and round_trip_ms > 0:
            found[source, target] = NetworkPath(round_trip_ms, link.tcp.formula_mbit if link.tcp is not None else None)
    return found


def expected(run: Run) -> Expect | None:
    """Return the thresholds that the run is held to, or None.

    Raises:
        CollectError: they are damaged; to go on without them would let a run pass.
    """
    thresholds = run.manifest.get("expect")
    if thresholds is None:
        return None
    try:
        return Expect.model_validate(thresholds)
    except ValidationError as error:
        first = error.errors()[0]
        where = place(["expect", *first["loc"]])
        raise CollectError(f"{run.folder.manifest}: {where}: {first['msg']}; restore the file") from error


def load(folder: RunFolder) -> Run:
    """Read a run's folder; what is optional and absent or damaged becomes a note.

    Raises:
        CollectError: there are no records, a line of them is damaged or foreign, no repetition has finished, or the
            axes of a sweep are damaged.
        FolderError: a file is too large to be a run's.
    """
    notes: list[str] = []
    manifest = _manifest(folder, notes) or {}
    notes_of_nodes: list[str] = []
    nodes = load_of_nodes.read(folder, notes_of_nodes)
    measurements = _measurements(folder, manifest, load_of_nodes.links_off(nodes), notes)
    return Run(
        folder=folder,
        measurements=measurements,
        scenario=_text(folder.scenario, notes),
        manifest=manifest,
        steps=_json(folder.steps, TypeAdapter(tuple[Step, ...]), notes) or (),
        links_before=_json(folder.links("before"), TypeAdapter(LinkReport), notes),
        links_after=_json(folder.links("after"), TypeAdapter(LinkReport), notes),
        links_earlier=_links_earlier(folder, notes),
        resources=_resources(folder, notes),
        load=load_of_nodes.machines(nodes),
        pods=pods.read(folder, notes_of_nodes),
        sweep=_sweep(folder, manifest),
        # Evaluated last: the readers above have added to it.
        notes=(*notes, *notes_of_nodes),
    )


def _sweep(folder: RunFolder, manifest: dict[str, Any]) -> Sweep | None:
    """Return the axes and points of a sweep; without them its points would be compared with any other."""
    if manifest.get("sweep") is None:
        return None
    try:
        return Sweep.model_validate(manifest["sweep"])
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        raise CollectError(
            f"{folder.manifest}: {place(['sweep', *first['loc']])}: {message}; restore the file"
        ) from error


def _links_earlier(folder: RunFolder, notes: list[str]) -> dict[tuple[Moment, int], LinkReport]:
    """Return the verifications of parts that were measured before the run was resumed."""
    reports = {
        (moment, number): _json(path, TypeAdapter(LinkReport), notes)
        for number, paths in earlier_parts(folder.links).items()
        for moment, path in paths.items()
    }
    return {key: report for key, report in reports.items() if report is not None}


def _resources(folder: RunFolder, notes: list[str]) -> tuple[Part, ...]:
    """Return what limited replicas had in each part; most runs have none."""
    parts = earlier_parts(folder.resources)
    last = {moment: path for moment in MOMENTS if (path := folder.resources(moment)).exists()}
    if last:
        parts[max(parts, default=0) + 1] = last
    adapter = TypeAdapter(ResourceReport)
    return tuple(
        Part(number, *(_json(paths[when], adapter, notes) if when in paths else None for when in MOMENTS))
        for number, paths in parts.items()
    )


def _manifest(folder: RunFolder, notes: list[str]) -> dict[str, Any] | None:
    manifest = _json(folder.manifest, TypeAdapter(dict[str, Any]), notes)
    if is_shallow(manifest):
        return manifest
    notes.append("manifest.json is damaged and was ignored: nested too deeply.")
    return None


def _planned(manifest: dict[str, Any]) -> list[str]:
    """Return the names of the run's scenarios in the order of their file; none where the manifest does not say."""
    match manifest:
        case {"scenarios": [*names]}:
            return [name for name in names if isinstance(name, str)]
    return []


def _measurements(
    folder: RunFolder, manifest: dict[str, Any], links_off: Sequence[LinksOff], notes: list[str]
) -> Measurements:
    """Return what was measured; lines that were cut off while they were written are noted."""
    files = folder.samples()
    if not files:
        raise CollectError(
            f"{folder.raw / SAMPLES} is not there: the run has measured nothing yet, or its records are still on the "
            f"base station; fetch them: python -m collect pull {folder.id}"
        )
    origin = provenance.Origin()
    lines = chain.from_iterable(origin.observe(path, records.scan(path)) for path in files)
    try:
        with without_garbage_collection():
            measurements = gather(lines, links_off, _planned(manifest))
    except records.NewerSchemaError as error:
        raise CollectError(f"{error}: read the run with the faasbed that measured it, or a newer one") from error
    except records.RecordError as error:
        raise CollectError(f"{error}: the line is damaged; restore the file, or pull it again") from error
    except OSError as error:
        raise CollectError(f"{error.filename} cannot be read: {error.strerror}") from error
    notes += origin.notes(folder, manifest)
    if not any(measurements.scenarios.values()):
        failures = measurements.failures
        reason = f"; last failure: {failures[-1].error}" if failures else ""
        raise CollectError(
            f"no repetition of {folder.id} has finished ({len(failures)} failed, {measurements.warmups} warm-ups), so "
            f"there is nothing to analyse{reason}"
        )
    return measurements


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Keep Python from searching a million records for cycles, which they do not have: a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _text(path: Path, notes: list[str]) -> str | None:
    try:
        return read_bytes(path).decode()
    except FileNotFoundError:
        notes.append(f"{path.name} is missing from the run's folder.")
    except (FolderError, UnicodeDecodeError) as error:
        notes.append(f"{path.name} was ignored: {error}.")
    return None


def _json(path: Path, adapter: TypeAdapter[T], notes: list[str]) -> T | None:
    name = path.name if path.parent.name not in ("links", "resources") else f"{path.parent.name}/{path.name}"
    try:
        return adapter.validate_json(read_bytes(path))
    except FileNotFoundError:
        notes.append(f"{name} is missing from the run's folder.")
    except FolderError as error:
        notes.append(f"{name} was ignored: {error}.")
    except ValidationError as error:
        first = error.errors()[0]
        where = place(first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        notes.append(f"{name} is damaged and was ignored: {where + ': ' if where else ''}{reason}.")
    return None
