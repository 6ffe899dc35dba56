"""The champion in MLflow's model registry: `bigfoot-CORPUS`, alias `champion`, with the evidence as tags of its version.

Decision: a champion is replaced only by a surely better variant. Times of two runs are never compared, but the gains over the
teacher, each within its own run and with its interval; this means something only where teacher, gate set and test set are the
same. Where they are not, nothing is replaced without `bigfoot promote VARIANT --force`. Experiments and worktrees try something
out, so they promote nothing by themselves. History is kept in tags of the versions (`bigfoot.promoted` counts promotions), so a
rollback moves one alias and sets one tag (`bigfoot.rejected`), after which `sync` does not promote that version again. The same
bytes are registered once.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError
from pipeline.common.git import is_worktree
from pipeline.compare import comparison
from pipeline.compare.rows import best_of
from pipeline.params import Gate, Params
from pipeline.tracking.candidate import Candidate, candidate_of, judge, summary
from pipeline.tracking.database import explained
from pipeline.tracking.log import changed_since, project
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, PREVIOUS = "champion", "previous"
TAG = "bigfoot."
HISTORY = {"promoted", "promoted_at", "rejected"}  # tags of a version that are not evidence
DECIDED_AFTER = f"{TAG}decided_after"  # tag of the registered model: the comparison of the last decision


def keep_up(store: Store, params: Params) -> str | None:
    """Promote the champion of the last comparison where it is better than the registered one; called by `sync`.

    Returns one line for the log: what was promoted, or why nothing was; None where nothing changed.
    """
    if not comparison.exists(store.root):
        return None
    compared, registry = comparison.read(store.root), Registry(store, params.corpus.name)
    if compared.corpus != params.corpus.name:
        return None
    with store.lock():
        if compared.champion is None:
            now = registry.aliased(CHAMPION)
            return f"{named(now)} stays {registry.at(CHAMPION)}: the last comparison has no champion" if now else None
        if changed := changed_since(store.project, compared):
            return f"nothing is promoted: {changed}"
        candidate = candidate_of(store, compared, compared.champion)
        if _is_trial(store.root):
            if (now := registry.aliased(CHAMPION)) and now.tags.get(TAG + "content") == candidate.content:
                return None
            return (
                f"{compared.champion.variant} is the champion of an experiment, which promotes nothing by itself: "
                f"`dvc exp apply` and `bigfoot track`, or `bigfoot promote {compared.champion.variant}`, make it a candidate"
            )
        return consider(registry, candidate, compared.budget)


def _is_trial(root: Path) -> bool:
    """Whether this is a run to see what would be: `dvc exp run`, or a flow run with params of its own, in a worktree."""
    return "DVC_EXP_BASELINE_REV" in os.environ or is_worktree(root)


def consider(registry: "Registry", candidate: Candidate, budget: Gate) -> str | None:
    """Promote a candidate where it is better; returns a line as `keep_up` does."""
    own, now = registry.of_content(candidate.content), registry.aliased(CHAMPION)
    if own and now and own.version == now.version:
        if "busy" not in candidate.evidence:  # later ones are compared with what was measured last
            registry.renew(now, candidate)
        registry.settle()
        registry.remember(candidate)
        return None
    if own and TAG + "rejected" in own.tags:
        return f"{named(own)} was rolled back and stays so: `bigfoot promote {candidate.variant}` promotes it again"
    is_better, why = judge(evidence_of(now), candidate.evidence, budget)
    if now and not is_better:
        registry.remember(candidate)
        return f"{named(now)} stays {registry.at(CHAMPION)}: {candidate.variant} {why}"
    if now and registry.decided_after() == candidate.comparison:
        promote = f"`bigfoot promote {candidate.variant}` replaces it"
        return f"{named(now)} stays {registry.at(CHAMPION)}, as a person chose after this comparison: {promote}"
    return f"{named(registry.promote(candidate, own))} is {registry.at(CHAMPION)}: {why}"


def promote(root: Path, params: Params, variant: str, force: bool = False) -> str:
    """Make a variant of the last comparison the champion, even one that was rolled back; returns the message to print.

    Raises BigfootError, without `force`, where it doesn't pass the gate, gains nothing, is not better than the champion, or was
    measured against another teacher or on another set.
    """
    compared = comparison.read(root)
    if compared.corpus != params.corpus.name:
        raise BigfootError(f"the last comparison is of {compared.corpus}, not of {params.corpus.name}: run `dvc repro`")
    row = compared.row(variant)
    if not row.gate.passed and not force:
        raise BigfootError(f"{variant} doesn't pass the gate ({row.gate.reason}): --force promotes it anyway")
    if best_of([row], compared.budget.prefer) is None and not force:
        raise BigfootError(f"{variant} gains nothing over {compared.rows[0].variant}: --force promotes it anyway")
    with opened(root, params) as (store, registry), store.turn():
        project(store, params)  # only what has been logged can be promoted
        if changed := changed_since(store.project, compared):
            raise BigfootError(changed)
        with store.lock():
            return insist(registry, candidate_of(store, compared, row), compared.budget, force)


def insist(registry: "Registry", candidate: Candidate, budget: Gate, force: bool) -> str:
    """Promote a candidate where it is better, or by force; returns the message, or raises BigfootError, as `promote` does."""
    own, now = registry.of_content(candidate.content), registry.aliased(CHAMPION)
    if own and now and own.version == now.version:
        registry.renew(now, candidate)
        registry.remember(candidate)
        return f"{named(now)} is {registry.at(CHAMPION)} already: its evidence is that of the last comparison now"
    is_better, why = judge(evidence_of(now), candidate.evidence, budget)
    if now and not is_better and not force:
        raise BigfootError(f"{named(now)} stays champion, {candidate.variant} {why} (--force promotes it anyway)")
    made = registry.promote(candidate, own)
    return f"{named(made)} is {registry.at(CHAMPION)}: {why if is_better else 'by force'}"


def rollback(root: Path, params: Params) -> str:
    """Move the alias back to the former champion, and mark the present one as rejected; returns the message to print.

    Raises BigfootError where there is no champion, or no former one.
    """
    with opened(root, params) as (store, registry), store.lock():
        now = registry.current()
        before = registry.before(now)
        if before is None:
            raise BigfootError(f"{named(now)} is the first champion of {registry.name}: there is no former one")
        registry.tag(now, rejected=_now())
        registry.point(CHAMPION, before)
        registry.settle()
    undo = f"bigfoot promote {now.tags.get(TAG + 'variant', 'VARIANT')}"
    return f"{named(before)} is {registry.at(CHAMPION)} again; {named(now)} is only promoted again by `{undo}`"


@contextmanager
def opened(root: Path, params: Params) -> Iterator[tuple[Store, "Registry"]]:
    """The store and its registry for a command; an error of MLflow's becomes a BigfootError."""
    store = Store(params.tracking.experiment, root)
    try:
        yield store, Registry(store, params.corpus.name)
    except Exception as error:
        raise explained(error, store.uri) from None


class Registry:
    """One registered model in an MLflow store: its versions, and the two aliases that Bigfoot moves."""

    def __init__(self, store: Store, corpus: str):
        self.client, self.name = store.client, f"bigfoot-{corpus}"
        self.is_served = store.uri.startswith("http")

    def at(self, alias: str) -> str:
        """The URI that MLflow loads it by: models:/bigfoot-digits@champion."""
        return f"models:/{self.name}@{alias}"

    def versions(self) -> list["ModelVersion"]:
        return list(self.client.search_model_versions(f"name='{self.name}'"))

    def aliased(self, alias: str) -> "ModelVersion | None":
        if not (models := self.client.search_registered_models(f"name='{self.name}'")):
            return None
        version = models[0].aliases.get(alias)
        return self.client.get_model_version(self.name, version) if version else None

    def current(self) -> "ModelVersion":
        """The champion; raises BigfootError where there is none."""
        if (now := self.aliased(CHAMPION)) is None:
            raise BigfootError(
                f"{self.name} has no champion yet: `bigfoot track` registers that of the last comparison, if it has one"
            )
        return now

    def of_content(self, content: str) -> "ModelVersion | None":
        return next((version for version in self.versions() if version.tags.get(TAG + "content") == content), None)

    def before(self, champion: "ModelVersion") -> "ModelVersion | None":
        """The last champion before this one that was not rolled back; one that was given the alias by hand is the newest."""
        former = [version for version in self.versions() if promoted_as(version) and TAG + "rejected" not in version.tags]
        others = [version for version in former if version.version != champion.version]
        return max(others, key=promoted_as, default=None)

    def promote(self, candidate: Candidate, version: "ModelVersion | None") -> "ModelVersion":
        """Give the alias to a candidate's version, which is registered where there is none yet.

        Tags are set first, so that a promotion that a kill interrupts is simply done again.
        """
        number = 1 + max(map(promoted_as, self.versions()), default=0)
        if version is None:
            version = self._register(candidate)
        else:
            self.renew(version, candidate)
        if TAG + "rejected" in version.tags:
            self.client.delete_model_version_tag(self.name, version.version, TAG + "rejected")
        self.tag(version, promoted=str(number), promoted_at=_now())
        self.point(CHAMPION, version)
        self.settle()
        self.remember(candidate)
        return version

    def decided_after(self) -> str | None:
        """The comparison after which it was last decided who is champion; what differs from it is a person's choice."""
        models = self.client.search_registered_models(f"name='{self.name}'")
        return models[0].tags.get(DECIDED_AFTER) if models else None

    def remember(self, candidate: Candidate) -> None:
        """Note that a candidate's comparison was decided upon, whatever came of it."""
        if self.decided_after() != candidate.comparison:
            self.client.set_registered_model_tag(self.name, DECIDED_AFTER, candidate.comparison)

    def settle(self) -> None:
        """Set the alias `previous` to the version that a rollback would lead to."""
        before, previous = self.before(self.current()), self.aliased(PREVIOUS)
        if before is None and previous is not None:
            self.client.delete_registered_model_alias(self.name, PREVIOUS)
        elif before is not None and (previous is None or previous.version != before.version):
            self.point(PREVIOUS, before)

    def point(self, alias: str, version: "ModelVersion") -> None:
        self.client.set_registered_model_alias(self.name, alias, version.version)

    def renew(self, version: "ModelVersion", candidate: Candidate) -> None:
        """Make a version's evidence that of a candidate with the same bytes, which may be of a later comparison.

        A description that a person wrote stays.
        """
        known = evidence_of(version) or {}
        if version.description == described(known):
            self.client.update_model_version(self.name, version.version, described(candidate.evidence))
        for name in known.keys() - candidate.evidence.keys() - HISTORY:
            self.client.delete_model_version_tag(self.name, version.version, TAG + name)
        self.tag(version, **candidate.evidence)

    def tag(self, version: "ModelVersion", **tags: str) -> None:
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version.version, TAG + key, value)

    def _register(self, candidate: Candidate) -> "ModelVersion":
        if not self.client.search_registered_models(f"name='{self.name}'"):
            about = f"The recognizers of {self.name} that kept the budget; the one in use is {self.at(CHAMPION)}."
            self.client.create_registered_model(self.name, description=about)
        tags = {TAG + name: value for name, value in candidate.evidence.items()}
        model = self.client.get_logged_model(candidate.model_id)
        # A server resolves models:/ID itself; with a database, MLflow would search the process's default store for it.
        source = f"models:/{model.model_id}" if self.is_served else model.artifact_location
        about = described(candidate.evidence)
        made = self.client.create_model_version(
            self.name, source, candidate.run_id, tags, description=about, model_id=model.model_id
        )
        self._link(candidate.model_id, made)
        return made

    def _link(self, model_id: str, version: "ModelVersion") -> None:
        """Write the version into the LoggedModel's tag that MLflow's pages read; a server has done so already."""
        known = json.loads(self.client.get_logged_model(model_id).tags.get("mlflow.modelVersions", "[]"))
        if not any((entry["name"], str(entry["version"])) == (self.name, str(version.version)) for entry in known):
            known.append({"name": self.name, "version": version.version})
            self.client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps(known)})


# ---------------------------------------------------------------- tags as text


def promoted_as(version: "ModelVersion") -> int:
    """The number of its last promotion; 0 where it was never promoted."""
    return int(version.tags.get(TAG + "promoted", 0))


def evidence_of(version: "ModelVersion | None") -> dict[str, str] | None:
    """Its tags that are Bigfoot's; None for no version."""
    if version is None:
        return None
    return {name.removeprefix(TAG): value for name, value in version.tags.items() if name.startswith(TAG)}


def described(evidence: Mapping[str, str]) -> str:
    """The description of a version with this evidence."""
    return f"{evidence.get('variant')}: {summary(evidence)}"


def named(version: "ModelVersion") -> str:
    return f"{version.tags.get(TAG + 'variant', version.name)} (version {version.version})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
