"""The champion in MLflow's model registry: `bigfoot-CORPUS`, alias `champion`, with the evidence as tags of its version.

Decision: an incumbent gives way only to a better one. Times of two runs are never compared; what is compared is each one's
gain over the teacher within its own run, which means something only where teacher, dev set and test set are the same. Where
they are not, nothing is replaced unless a person says `bigfoot promote VARIANT --force`. History is kept in tags of the
versions (`bigfoot.promoted` counts promotions), so a rollback is one alias moved and one tag set (`bigfoot.rejected`),
after which `sync` leaves that version alone. A version is registered once for the same bytes.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError
from pipeline.compare import comparison
from pipeline.params import Gate, Params
from pipeline.tracking.candidate import Candidate, candidate_of, figures, judge, times
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, PREVIOUS = "champion", "previous"
TAG = "bigfoot."


def keep_up(store: Store, params: Params) -> str | None:
    """Promote the champion of the last comparison where it is better than the incumbent; called by `tracking.sync`.

    Returns what a person should know, in one line: what was promoted, or why not; None where all is as it was.
    """
    if not comparison.exists(store.root):
        return None
    compared, registry = comparison.read(store.root), Registry(store, params.corpus.name)
    if compared.corpus != params.corpus.name:
        return None
    with store.lock():
        if compared.champion is None:
            now = registry.aliased(CHAMPION)
            return f"{_named(now)} stays {registry.at(CHAMPION)}: the last comparison has no champion" if now else None
        return consider(registry, candidate_of(store, compared, compared.champion), compared.budget)


def consider(registry: "Registry", candidate: Candidate, budget: Gate) -> str | None:
    """What `keep_up` does of one candidate."""
    own, now = registry.of_content(candidate.content), registry.aliased(CHAMPION)
    if own and now and own.version == now.version:
        registry.settle()
        return None
    if own and TAG + "rejected" in own.tags:
        return f"{_named(own)} was rolled back and is left alone: `bigfoot promote {candidate.variant}` takes it back"
    is_better, why = judge(_evidence(now), candidate.evidence, budget)
    if not is_better:
        return f"{_named(now)} stays {registry.at(CHAMPION)}: {candidate.variant} {why}"
    return f"{_named(registry.promote(candidate, own))} is {registry.at(CHAMPION)}: {why}"


def promote(params: Params, variant: str, force: bool = False, root: Path | str = ".") -> str:
    """Make a variant of the last comparison the champion, also one that was rolled back; returns what to say.

    Raises BigfootError, without `force`, where it doesn't pass the gate, is not better than the incumbent, or was judged by
    another teacher or another set.
    """
    from pipeline.tracking.log import project

    compared = comparison.read(Path(root))
    if compared.corpus != params.corpus.name:
        raise BigfootError(f"the last comparison is of {compared.corpus}, not of {params.corpus.name}: run `dvc repro`")
    row = compared.row(variant)
    if not row.gate.passed and not force:
        raise BigfootError(f"{variant} doesn't pass the gate ({row.gate.reason}): --force promotes it all the same")
    with _opened(params, root) as (store, registry):
        project(store, params)  # what is promoted has been logged
        with store.lock():
            return insist(registry, candidate_of(store, compared, row), compared.budget, force)


def insist(registry: "Registry", candidate: Candidate, budget: Gate, force: bool) -> str:
    """What `promote` does of one candidate."""
    own, now = registry.of_content(candidate.content), registry.aliased(CHAMPION)
    if own and now and own.version == now.version:
        return f"{_named(now)} is {registry.at(CHAMPION)} already"
    is_better, why = judge(_evidence(now), candidate.evidence, budget)
    if not is_better and not force:
        raise BigfootError(f"{_named(now)} stays champion, {candidate.variant} {why} (--force promotes it all the same)")
    made = registry.promote(candidate, own)
    return f"{_named(made)} is {registry.at(CHAMPION)}: {why if is_better else 'by force'}"


def rollback(params: Params, root: Path | str = ".") -> str:
    """Give the alias back to the champion before this one, and mark this one as rejected; returns what to say.

    Raises BigfootError where there is no champion, or none before it.
    """
    with _opened(params, root) as (store, registry), store.lock():
        now = registry.current()
        before = registry.before(now)
        if before is None:
            raise BigfootError(f"{_named(now)} is the first champion of {registry.name}: there is none to go back to")
        registry.tag(now, rejected=_now())
        registry.point(CHAMPION, before)
        registry.settle()
    undo = f"bigfoot promote {now.tags.get(TAG + 'variant', 'VARIANT')}"
    return f"{_named(before)} is {registry.at(CHAMPION)} again; {_named(now)} is left alone from now on, `{undo}` takes it back"


def history(params: Params, root: Path | str = ".") -> list[str]:
    """Lines that tell the champion and the former ones, the newest first; raises BigfootError where there is none."""
    with _opened(params, root) as (_, registry):
        now = registry.current()
        before = registry.before(now)
        others = [one for one in registry.versions() if _promoted(one) and one.version != now.version]
        lines = [f"champion     {_named(now)}  {_told(now)}"]
        for one in sorted(others, key=_promoted, reverse=True):
            is_previous = before is not None and one.version == before.version
            state = PREVIOUS if is_previous else "rolled back" if TAG + "rejected" in one.tags else "former"
            lines.append(f"{state:<11}  {_named(one)}  {_told(one)}")
        return [registry.at(CHAMPION), *lines]


@contextmanager
def _opened(params: Params, root: Path | str) -> Iterator[tuple[Store, "Registry"]]:
    """The store and its registry for a command; what MLflow refuses is one line."""
    store = Store(params.tracking.experiment, root)
    from mlflow.exceptions import MlflowException

    try:
        yield store, Registry(store, params.corpus.name)
    except MlflowException as error:
        raise BigfootError(f"MLflow refused: {' '.join(str(error).split())[:300]}") from None


class Registry:
    """One registered model of an MLflow store: its versions, and the two aliases that Bigfoot moves."""

    def __init__(self, store: Store, corpus: str):
        self.client, self.name = store.client, f"bigfoot-{corpus}"
        self.is_served = store.uri.startswith("http")

    def at(self, alias: str) -> str:
        """The name under which MLflow loads it: models:/bigfoot-digits@champion."""
        return f"models:/{self.name}@{alias}"

    def versions(self) -> list["ModelVersion"]:
        return list(self.client.search_model_versions(f"name='{self.name}'"))

    def aliased(self, alias: str) -> "ModelVersion | None":
        if not (found := self.client.search_registered_models(f"name='{self.name}'")):
            return None
        version = found[0].aliases.get(alias)
        return self.client.get_model_version(self.name, version) if version else None

    def current(self) -> "ModelVersion":
        """The champion; raises BigfootError where there is none."""
        if (now := self.aliased(CHAMPION)) is None:
            raise BigfootError(
                f"{self.name} has no champion yet: `bigfoot track` registers the last comparison's, if it has one"
            )
        return now

    def of_content(self, content: str) -> "ModelVersion | None":
        return next((one for one in self.versions() if one.tags.get(TAG + "content") == content), None)

    def before(self, champion: "ModelVersion") -> "ModelVersion | None":
        """The champion before this one that wasn't rolled back."""
        last = _promoted(champion) or float("inf")  # a version that a person gave the alias to counts as the newest
        able = [
            one for one in self.versions()
            if one.version != champion.version and 0 < _promoted(one) < last and TAG + "rejected" not in one.tags
        ]  # fmt: skip
        return max(able, key=_promoted, default=None)

    def promote(self, candidate: Candidate, version: "ModelVersion | None") -> "ModelVersion":
        """Give the alias to a candidate, by its version where there is one, else by a new one.

        The tags come first: what a kill leaves half-done is then promoted again, as if for the first time.
        """
        number = 1 + max((_promoted(one) for one in self.versions()), default=0)
        if version is None:
            version = self._register(candidate)
        else:
            self.tag(version, **candidate.evidence)  # what speaks for it now
        if TAG + "rejected" in version.tags:
            self.client.delete_model_version_tag(self.name, version.version, TAG + "rejected")
        self.tag(version, promoted=str(number), promoted_at=_now())
        self.point(CHAMPION, version)
        self.settle()
        return version

    def settle(self) -> None:
        """See that the alias `previous` is where a rollback would lead."""
        before, there = self.before(self.current()), self.aliased(PREVIOUS)
        if before is None and there is not None:
            self.client.delete_registered_model_alias(self.name, PREVIOUS)
        elif before is not None and (there is None or there.version != before.version):
            self.point(PREVIOUS, before)

    def point(self, alias: str, version: "ModelVersion") -> None:
        self.client.set_registered_model_alias(self.name, alias, version.version)

    def tag(self, version: "ModelVersion", **tags: str) -> None:
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version.version, TAG + key, value)

    def _register(self, candidate: Candidate) -> "ModelVersion":
        if not self.client.search_registered_models(f"name='{self.name}'"):
            self.client.create_registered_model(self.name)
        tags = {TAG + name: value for name, value in candidate.evidence.items()}
        model = self.client.get_logged_model(candidate.model_id)
        # A server resolves models:/ID itself; a database asked directly would look for it in the process's default store.
        source = f"models:/{model.model_id}" if self.is_served else model.artifact_location
        made = self.client.create_model_version(self.name, source, candidate.run_id, tags, model_id=model.model_id)
        self._link(candidate.model_id, made)
        return made

    def _link(self, model_id: str, version: "ModelVersion") -> None:
        """Tell the LoggedModel of its version, as MLflow's pages read it; a server has done so already."""
        known = json.loads(self.client.get_logged_model(model_id).tags.get("mlflow.modelVersions", "[]"))
        if not any((one["name"], str(one["version"])) == (self.name, str(version.version)) for one in known):
            known.append({"name": self.name, "version": version.version})
            self.client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps(known)})


# ---------------------------------------------------------------- telling


def _promoted(version: "ModelVersion") -> int:
    """The number of its last promotion; 0 where it has had none."""
    return int(version.tags.get(TAG + "promoted", 0))


def _evidence(version: "ModelVersion | None") -> dict[str, str] | None:
    return {name.removeprefix(TAG): value for name, value in version.tags.items()} if version else None


def _named(version: "ModelVersion") -> str:
    return f"{version.tags.get(TAG + 'variant', version.name)} (version {version.version})"


def _told(version: "ModelVersion") -> str:
    """A version's evidence in a line."""
    known: Mapping[str, str] = _evidence(version)
    found = figures(known)
    if found["wer"] is None:
        return "no evidence of Bigfoot"
    gains = f"{times(found['speedup'])} faster, {times(found['shrink'])} smaller than its teacher"
    when = known.get("promoted_at", "?")[:16].replace("T", " ")
    return f"WER {100 * found['wer']:.2f}%, {gains}; timed on {known.get('host', '?')}; promoted {when} UTC"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
