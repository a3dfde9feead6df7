"""The login of a workflow's step: what Pulumi, its backend and its cluster find in the environment of a command.

Each cloud's own library makes the login. It needs an identity token of GitHub's, which is valid for five minutes. So
the token's file is renewed as long as the command runs.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import httpx
import stamina

from console.errors import StepError
from pipeline.names import AWS, AZURE, CONTENT, GOOGLE, KUBECONFIG, SECRETS, VARIABLES, Given

REQUEST_URL, REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
"""What a job with `id-token: write` is given."""
AWS_AUDIENCE, AZURE_AUDIENCE = "sts.amazonaws.com", "api://AzureADTokenExchange"
_GOOGLE = "//iam.googleapis.com"
_IMPERSONATE = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{}:generateAccessToken"


class Login:
    """The login of one step; its files are in a directory that the caller removes.

    `given` is what GitHub's environment holds, `job` the step's own environment.
    """

    def __init__(self, given: Given, job: Mapping[str, str], directory: Path) -> None:
        self._given, self._job, self._directory = given, job, directory
        self._tokens: dict[Path, str] = {}

    def environment(self) -> dict[str, str]:
        """The environment of a command. Raises StepError if GitHub gives no token."""
        unset = {name for name in (*VARIABLES, *SECRETS) if not self._job.get(name)} | {CONTENT}
        if self._given.logs_in(AWS):
            unset.update((*AWS.keys, *AWS.more_keys))
        variables = {name: value for name, value in self._job.items() if name not in unset}
        if content := self._job.get(CONTENT):
            variables[KUBECONFIG] = self._written("kubeconfig", content)
        for cloud, login in ((AWS, self._aws), (GOOGLE, self._google), (AZURE, self._azure)):
            if self._given.logs_in(cloud):
                variables |= login()
        self.renew()
        return variables

    def renew(self) -> None:
        """Get the tokens anew."""
        for file, audience in self._tokens.items():
            self._written(file.name, self._token(audience))

    def _aws(self) -> dict[str, str]:
        return {
            "AWS_WEB_IDENTITY_TOKEN_FILE": self._token_file("aws-token", AWS_AUDIENCE),
            "AWS_ROLE_SESSION_NAME": f"meshgate-{self._given.environment}",
        }

    def _azure(self) -> dict[str, str]:
        return {"AZURE_FEDERATED_TOKEN_FILE": self._token_file("azure-token", AZURE_AUDIENCE)}

    def _google(self) -> dict[str, str]:
        """Google's libraries ask GitHub themselves: https://google.aip.dev/auth/4117."""
        provider = self._given.variables[GOOGLE.login[0]]
        url = self._request_url(f"https:{_GOOGLE}/{provider}")
        credentials = {
            "type": "external_account",
            "audience": f"{_GOOGLE}/{provider}",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {
                "url": str(url),
                "headers": {"Authorization": f"Bearer {self._job.get(REQUEST_TOKEN, '')}"},
                "format": {"type": "json", "subject_token_field_name": "value"},
            },
        }
        if account := self._given.variables.get(GOOGLE.more[0]):
            credentials["service_account_impersonation_url"] = _IMPERSONATE.format(account)
        return {"GOOGLE_APPLICATION_CREDENTIALS": self._written("google.json", json.dumps(credentials))}

    def _token_file(self, name: str, audience: str) -> str:
        file = self._directory / name
        self._tokens[file] = audience
        return str(file)

    def _request_url(self, audience: str) -> httpx.URL:
        url = self._job.get(REQUEST_URL)
        if not url:
            raise StepError("The job gets no identity token of GitHub's: give it the permission `id-token: write`.")
        return httpx.URL(url).copy_merge_params({"audience": audience})

    def _token(self, audience: str) -> str:
        headers = {"Authorization": f"Bearer {self._job.get(REQUEST_TOKEN, '')}"}
        url = self._request_url(audience)
        try:
            for attempt in stamina.retry_context(on=httpx.TransportError, attempts=3, timeout=30):
                with attempt:
                    token: str = httpx.get(url, headers=headers).raise_for_status().json()["value"]
        except httpx.HTTPStatusError as error:
            raise StepError(f"GitHub gives no identity token: it answers {error.response.status_code}.") from None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise StepError(f"GitHub gives no identity token: {type(error).__name__}.") from None
        return token

    def _written(self, name: str, content: str) -> str:
        """A file that nobody else may read, written whole or not at all."""
        draft, file = self._directory / f"{name}.draft", self._directory / name
        draft.touch(0o600)
        draft.write_text(content)
        return str(draft.replace(file))
