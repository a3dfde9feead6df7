# Sourced: the way to $STACK's state and cluster, from what its GitHub environment holds.

if [ -z "${PULUMI_BACKEND_URL:-}" ]; then
  echo "PULUMI_BACKEND_URL is missing: add it to the variables of $STACK's GitHub environment." >&2
  exit 1
fi
if [ -n "${KUBECONFIG_CONTENT:-}" ]; then
  export KUBECONFIG=$RUNNER_TEMP/kubeconfig
  (umask 077 && printf '%s\n' "$KUBECONFIG_CONTENT" >"$KUBECONFIG")
fi
unset KUBECONFIG_CONTENT
export PATH=$PWD/.venv/bin:$PATH PULUMI_SKIP_UPDATE_CHECK=true
