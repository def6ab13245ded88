"""Messages of the library name Python arguments; those of the command line name options."""

import pytest

from pfitre_jax.cli.errors import in_options


@pytest.mark.parametrize(
    ("library", "command_line"),
    [
        ("rho is -1; expected more than 0", "--rho is -1; expected more than 0"),
        ("weight is 'x'", "--tv-weight is 'x'"),
        ("pass joint=True (see the manual)", "pass --joint (see the manual)"),
        ("use data='counts' or data='transmission'", "use --data counts or --data transmission"),
        ("a CSV file (angles='angles.csv')", "a CSV file (--angles angles.csv)"),
        ("use another output folder, or overwrite=True", "use another --out, or --overwrite"),
        (
            "method 'cgls' takes no rho, weight; it takes iterations: omit the others",
            "method 'cgls' takes no --rho, --tv-weight; it takes --iterations: omit the others",
        ),
        ("the scan has 8 views; expected at least 12", "the scan has 8 views; expected at least 12"),
        ("the prior rho is odd", "the prior rho is odd"),
    ],
)
def test_arguments_are_translated_to_options(library, command_line):
    assert in_options(library) == command_line
