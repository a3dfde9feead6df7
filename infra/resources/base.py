"""What the providers of our dynamic resources share.

Pulumi stores a provider with each resource, as a reference to its class. It calls the provider in a plugin process,
which knows the stack's config and nothing of the program's objects. One instance serves several threads there, so
nothing may hang on it. An exception reaches the user as `traceback.format_exc()`: see `Provider._operation`.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

from pulumi import ResourceOptions
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from gateway.headscale.errors import HeadscaleError, UnauthorizedError
from infra.kubernetes.client import ClusterError
from infra.resources import engine_log, hidden_frames, plugin_threads, way_out
from infra.resources.connections import Connections, ConnectionsError, KeyLostError, settings_by

Props = Mapping[str, Any]
"""Inputs, or outputs, of a resource as Pulumi hands them over: JSON's types, every number a float."""

log = logging.getLogger("meshgate")


class ResourceError(Exception):
    """Why a resource could not be made, read, changed or removed: one sentence for the user."""


# traceback prints an exception's module before its name, but not that of builtins: users need no path of ours.
ResourceError.__module__ = "builtins"


class Provider(ResourceProvider):
    """Base of our providers. A subclass lists its inputs and says how to make, look up, change and remove one.

    Those methods get the connections of their operation and return the outputs that they learn. They may raise
    HeadscaleError, ClusterError or ResourceError.
    """

    serialize_as_secret_always = False  # it holds nothing that the state would have to encrypt
    connect: Callable[[], Connections]
    """The way to Headscale and the cluster, opened for one operation."""

    INPUTS: ClassVar[tuple[str, ...]]
    """The inputs whose change means work."""
    REPLACING: ClassVar[tuple[str, ...]] = ()
    """Those of them whose change makes a new one; the others' is an update."""

    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Id and outputs of a new one, or of the one that a killed run left."""
        raise NotImplementedError

    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """The outputs as they are in truth; None when it is gone."""
        del connections, id_
        return dict(props)

    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """The outputs after it was made what the inputs say."""
        raise NotImplementedError

    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Remove it; done when it is gone."""

    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """Bad inputs as (name, sentence). In preview some values are unknown: pulumi.contains_unknowns."""
        del connections, olds, news
        yield from ()

    def drifted(self, olds: Props, news: Props) -> bool:
        """Whether it needs work although no input changed, judged by its outputs."""
        del olds, news
        return False

    # Pulumi's side

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the way to the stack's config; called in the plugin process, before anything else."""
        engine_log.attach(log)
        plugin_threads.widen()
        self.connect = partial(Connections, settings_by(req.config.get))

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse bad inputs before anything is touched."""
        with self._operation() as connections:
            refusals = self.refusals(connections, _olds, news)
            return CheckResult(news, [CheckFailure(name, why) for name, why in refusals])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare new inputs with the last outputs, which repeat the inputs. An unknown value counts as changed."""
        with self._operation():
            changed = [name for name in self.INPUTS if _olds.get(name) != _news.get(name)]
            return DiffResult(
                changes=bool(changed) or self.drifted(_olds, _news),
                replaces=[name for name in changed if name in self.REPLACING],
            )

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make or adopt it."""
        with self._operation() as connections:
            id_, outputs = self.make(connections, props)
        return CreateResult(id_, {**props, **outputs})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Refresh it from the truth."""
        with self._operation() as connections:
            try:
                outputs = self.look_up(connections, id_, props)
            except (KeyLostError, UnauthorizedError) as error:
                # The key of a managed server is itself a resource, which this refresh finds gone and `up` makes anew.
                # A refresh that failed here would never let it.
                if not connections.managed:
                    raise
                log.warning("%s Left as it was: %s.", error, id_)
                return ReadResult(id_, props)
        return ReadResult("", {}) if outputs is None else ReadResult(id_, {**props, **outputs})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Make it what the inputs say."""
        with self._operation() as connections:
            return UpdateResult({**_news, **self.change(connections, _id, _olds, _news)})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Remove it, or pass over it where it is gone for good with all else."""
        with self._operation() as connections:
            try:
                self.remove(connections, _id, _props)
            except (HeadscaleError, ClusterError, KeyLostError) as error:
                if not way_out.is_gone(error):
                    raise ResourceError(sentence(connections, error) + way_out.hint(error)) from None
                log.warning("%s was not removed: %s", _id, error)

    @contextmanager
    def _operation(self) -> Iterator[Connections]:
        """The connections of one operation, closed at its end.

        An error that the user can act on is shown as its sentence alone. Any other is a bug and keeps its traceback.
        """
        with self.connect() as connections:
            try:
                yield connections
            except (HeadscaleError, ClusterError, ConnectionsError, ResourceError, way_out.GoneError) as error:
                raise hidden_frames.of(ResourceError(sentence(connections, error))) from None


def sentence(connections: Connections, error: Exception) -> str:
    """What the user reads of an error: with the remedy, where only the stack's config tells it."""
    return f"{error} {connections.new_key}" if isinstance(error, UnauthorizedError) else str(error)


def secret_outputs(opts: ResourceOptions | None, *names: str) -> ResourceOptions:
    """The options, with these outputs kept encrypted in the state.

    Pulumi does that by itself only for outputs that have a secret input's name.
    """
    return ResourceOptions.merge(opts, ResourceOptions(additional_secret_outputs=list(names)))
