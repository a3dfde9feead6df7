"""The kubeconfig: which API server, which credentials, which namespace by default."""

from typing import TYPE_CHECKING

from lab.kubernetes_plugin.errors import ClusterUnreachableError
from lab.kubernetes_plugin.provider_settings import ProviderSettings

if TYPE_CHECKING:
    from kubernetes.client import Configuration


def load_configuration(settings: ProviderSettings) -> "Configuration":
    """Read the kubeconfig that the settings name; `.host` of the result is the API server's URL.

    Raises ClusterUnreachableError when there is none or it cannot be used.
    """
    import yaml
    from kubernetes import config
    from kubernetes.client import Configuration

    configuration = Configuration()
    content = _inline(settings.kubeconfig)
    try:
        if content is not None:
            config.load_kube_config_from_dict(
                yaml.safe_load(content), context=settings.context, client_configuration=configuration
            )
        else:
            config.load_kube_config(settings.kubeconfig, context=settings.context, client_configuration=configuration)
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        raise ClusterUnreachableError(f"the kubeconfig cannot be used: {innermost_reason(error)}") from error
    return configuration


def context_namespace(settings: ProviderSettings) -> str | None:
    """Return the namespace that the kubeconfig's context names, if any."""
    import yaml
    from kubernetes import config

    content = _inline(settings.kubeconfig)
    try:
        if content is not None:
            document = yaml.safe_load(content)
            contexts, active = document.get("contexts") or (), document.get("current-context")
        else:
            contexts, current = config.list_kube_config_contexts(settings.kubeconfig)
            active = current["name"]
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        raise ClusterUnreachableError(f"the kubeconfig cannot be used: {innermost_reason(error)}") from error
    wanted = settings.context or active
    return next((entry["context"].get("namespace") for entry in contexts if entry["name"] == wanted), None)


def _inline(kubeconfig: str | None) -> str | None:
    """Return a kubeconfig given as its content (YAML or JSON); None when it is a path."""
    return kubeconfig if kubeconfig and ("\n" in kubeconfig or kubeconfig.lstrip().startswith("{")) else None


def innermost_reason(error: BaseException) -> str:
    """Return the innermost reason of a connection error in one line."""
    reason = getattr(error, "reason", None)
    text = innermost_reason(reason) if isinstance(reason, BaseException) else str(error)
    return text.rpartition(">: ")[2] or text
