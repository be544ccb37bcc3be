"""Meltano with OAuth: unattended, with a token that a login has saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from tap_aircall.tap import TapAircall
from tests.people import Admin

if TYPE_CHECKING:
    from aircall_sandbox import Sandbox
    from tests.targets.conftest import Project


def test_meltano_loads_with_a_saved_token_and_renews_it(project: Project, live_sandbox: Sandbox) -> None:
    oauth = live_sandbox.oauth
    oauth.mode = "rotating"
    for name in ("TAP_AIRCALL_USER", "TAP_AIRCALL_PASSWORD"):
        del project.environment[name]
    project.environment |= {
        "TAP_AIRCALL_AUTH_SCHEME": "OAUTH",
        "TAP_AIRCALL_OAUTH_CLIENT_ID": oauth.client_id,
        "TAP_AIRCALL_OAUTH_CLIENT_SECRET": oauth.client_secret,
        "TAP_AIRCALL_CALLBACK_URL": "https://partner.example.com/callback",
        "TAP_AIRCALL_DASHBOARD_URL": live_sandbox.url,
        "TAP_AIRCALL_OAUTH_SETTINGS_LOCATION": str(project.folder / "secrets/tokens.json"),
        "TAP_AIRCALL__SELECT": '["tags.*", "integrations.*"]',
    }
    names = {
        name.removeprefix("TAP_AIRCALL_").lower(): value
        for name, value in project.environment.items()
        if name.startswith("TAP_AIRCALL_") and not name.endswith(("SELECT", "MINUTE"))
    }
    tap = TapAircall(config=names)
    tap.this_run.person = Admin(pastes=str)
    tap.log_in()
    oauth.end_access()

    log = project.meltano("run", "tap-aircall", "target-duckdb")

    assert oauth.grants == ["authorization_code", "refresh_token"]
    assert "of-the-sandbox" not in log
    with duckdb.connect(str(project.folder / "output/warehouse.duckdb")) as connection:
        assert connection.execute("SELECT company_id, name FROM aircall.integrations").fetchall() == [
            (77, "tap-aircall")
        ]
        tags = connection.execute("SELECT id FROM aircall.tags ORDER BY id").fetchall()
    assert tags == [(identity,) for identity in sorted(live_sandbox.world.kinds["tags"])]
