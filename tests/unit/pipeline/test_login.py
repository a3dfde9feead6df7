"""The login that a step makes of what GitHub gives it."""

import json
from pathlib import Path

import httpx
import pytest
import respx

from console.errors import StepError
from pipeline.login import Login
from pipeline.names import of_job

JOB = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://tokens.invalid/idtoken?api-version=2.0",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "the job's",
    "PATH": "/usr/bin",
    "AWS_ACCESS_KEY_ID": "",
    "PULUMI_CONFIG_PASSPHRASE": "",
}
PROVIDER = "projects/123/locations/global/workloadIdentityPools/github/providers/acme"


def login(directory: Path, **variables: str) -> Login:
    return Login(of_job("prod", JOB | variables), JOB | variables, directory)


def answering(router: respx.MockRouter, audience: str, *tokens: str) -> None:
    route = router.get(
        "https://tokens.invalid/idtoken",
        params={"api-version": "2.0", "audience": audience},
        headers={"Authorization": "Bearer the job's"},
    )
    route.side_effect = [httpx.Response(200, json={"value": token, "count": 1}) for token in tokens]


def test_without_a_cloud_nothing_is_asked_and_what_is_not_set_is_not_there(tmp_path: Path) -> None:
    variables = login(tmp_path, AWS_SECRET_ACCESS_KEY="key").environment()
    assert variables.items() >= {"AWS_SECRET_ACCESS_KEY": "key", "PATH": "/usr/bin"}.items()
    assert variables.keys().isdisjoint({"AWS_ACCESS_KEY_ID", "PULUMI_CONFIG_PASSPHRASE", "KUBECONFIG"})


def test_aws_gets_the_role_and_a_token_that_is_renewed(tmp_path: Path, respx_mock: respx.MockRouter) -> None:
    answering(respx_mock, "sts.amazonaws.com", "first", "second")
    role = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_SECRET_ACCESS_KEY": "k", "AWS_SESSION_TOKEN": "t"}
    made = login(tmp_path, **role)
    variables = made.environment()
    file = Path(variables["AWS_WEB_IDENTITY_TOKEN_FILE"])
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("first", 0o600)
    assert (variables["AWS_ROLE_ARN"], variables["AWS_ROLE_SESSION_NAME"]) == (role["AWS_ROLE_ARN"], "meshgate-prod")
    assert variables.keys().isdisjoint({"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})  # they would win over the role
    made.renew()
    assert file.read_text() == "second"


def test_azure_gets_the_application_and_a_token(tmp_path: Path, respx_mock: respx.MockRouter) -> None:
    answering(respx_mock, "api://AzureADTokenExchange", "token")
    variables = login(tmp_path, AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c").environment()
    assert Path(variables["AZURE_FEDERATED_TOKEN_FILE"]).read_text() == "token"
    assert (variables["AZURE_TENANT_ID"], variables["AZURE_CLIENT_ID"]) == ("t", "c")


@pytest.mark.parametrize("account", ["", "meshgate@acme.iam.gserviceaccount.com"])
def test_google_gets_a_file_by_which_its_library_asks_github(tmp_path: Path, account: str) -> None:
    made = login(tmp_path, GOOGLE_WORKLOAD_IDENTITY_PROVIDER=PROVIDER, GOOGLE_SERVICE_ACCOUNT=account)
    credentials = json.loads(Path(made.environment()["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    assert credentials["type"] == "external_account"
    assert credentials["audience"] == f"//iam.googleapis.com/{PROVIDER}"
    url = httpx.URL(credentials["credential_source"]["url"])
    assert dict(url.params) == {"api-version": "2.0", "audience": f"https://iam.googleapis.com/{PROVIDER}"}
    assert credentials["credential_source"]["headers"] == {"Authorization": "Bearer the job's"}
    assert credentials.get("service_account_impersonation_url", "").endswith(
        f"/serviceAccounts/{account}:generateAccessToken" if account else ""
    )
    assert ("service_account_impersonation_url" in credentials) == bool(account)


def test_a_job_that_may_not_say_who_it_is_is_told(tmp_path: Path) -> None:
    given = of_job("prod", {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"})
    with pytest.raises(StepError, match=r"^The job gets no identity token .* `id-token: write`\.$"):
        Login(given, {}, tmp_path).environment()


@pytest.mark.parametrize(
    ("answer", "why"),
    [(httpx.Response(403, text="secret"), "it answers 403"), (httpx.Response(200, text="secret"), "JSONDecodeError")],
)
def test_what_github_answers_instead_of_a_token_is_told_without_it(
    tmp_path: Path, respx_mock: respx.MockRouter, answer: httpx.Response, why: str
) -> None:
    respx_mock.get("https://tokens.invalid/idtoken").mock(return_value=answer)
    with pytest.raises(StepError) as told:
        login(tmp_path, AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c").environment()
    assert str(told.value) == f"GitHub gives no identity token: {why}."
