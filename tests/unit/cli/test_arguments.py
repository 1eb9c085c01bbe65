import pytest

from benchpool.cli.arguments import shield_ids

DASHED = "-PvzdPoG4p15gRTYnpLaRl5wo8HMSpbvcfiywYId9GA"


@pytest.mark.parametrize(
    ("given", "shielded"),
    [
        (["pool", "show", DASHED], ["pool", "show", "--", DASHED]),
        (["audit", DASHED, "--home", "x"], ["audit", "--home", "x", "--", DASHED]),
        (["audit", "--json", DASHED], ["audit", "--json", "--", DASHED]),
        (["send", "--target", DASHED, "--action", "Info"],) * 2,
        (["audit", "--", DASHED],) * 2,
        (["pool", "show", "-h"],) * 2,
        (["pool", "show", "-Pvz", "--json"], ["pool", "show", "--json", "--", "-Pvz"]),
        (["pool", "show", "--jsom"],) * 2,
    ],
)
def test_an_id_that_begins_with_a_dash_is_no_option(given, shielded):
    assert shield_ids(given) == shielded


def test_a_command_takes_such_an_id(run):
    run("wallet", "new", "alice")
    assert DASHED in run("inspect", DASHED, code=1).stderr
