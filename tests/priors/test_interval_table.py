"""Tables of interval factors: the cell of a scan, and refusal of malformed tables."""

from __future__ import annotations

import copy
import json

import pytest

from pfitre_jax.priors.interval_table import IntervalCell, IntervalTable, tables_from_record

CELLS = (
    IntervalCell((20.0, 60.0), (0.001, 0.01), 1.5, 40),
    IntervalCell((60.0, 120.0), (0.001, 0.01), 2.5, 40),
    IntervalCell((20.0, 60.0), (0.001, 0.1), 1.7, 60),
    IntervalCell((20.0, 120.0), (0.001, 0.1), 2.0, 100),
)
TABLE = IntervalTable(0.9, 0, CELLS, {"size": 96}, 0.25)


@pytest.mark.parametrize(
    ("wedge_deg", "noise", "factor"),
    [
        (40, 0.003, 1.5),
        (90, 0.003, 2.5),
        # No cell for this noise: the next wider one, that of the wedge, and without it that of all scans.
        (40, 0.03, 1.7),
        (90, 0.03, 2.0),
        # Outside of the table: the nearest cell.
        (10, 0.003, 1.5),
        (170, 0.003, 2.5),
        (40, 1e-5, 1.5),
        (150, 0.9, 2.0),
    ],
)
def test_a_scan_has_the_narrowest_cell_around_it(wedge_deg, noise, factor):
    assert TABLE.find(wedge_deg, noise).factor == factor


def test_a_table_survives_its_record():
    record = json.loads(json.dumps(TABLE.record()))
    assert tables_from_record({"bootstrap": record}) == {"bootstrap": TABLE}
    assert TABLE.wedge_deg == (20, 120) and TABLE.noise == (0.001, 0.1)


def test_a_table_without_a_gradient_weight_has_the_expected_error_alone():
    record = TABLE.record()
    del record["gradient_weight"]
    assert IntervalTable.from_record(record).gradient_weight == 0


def changed(path, value):
    record = {"expected-error": TABLE.record()}
    record = copy.deepcopy(record)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return record


IN = "expected-error"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("wide", "it is 'wide'; expected a table for each kind"),
        ({"guess": {}}, "guess is unknown; expected expected-error, bootstrap, combined"),
        ({IN: 3}, "expected-error: it is 3; expected a table"),
        (changed([IN, "level"], 1.5), "expected-error: level is 1.5; expected a number between 0 and 1"),
        (changed([IN, "level"], "high"), "level is 'high'"),
        (changed([IN, "draws"], 2.5), "draws is 2.5; expected a whole number"),
        (changed([IN, "gradient_weight"], 1), "gradient_weight is 1; expected a number from 0 to below 1"),
        (changed([IN, "cells"], []), r"cells is \[\]; expected a list of tables"),
        (changed([IN, "cells", 1], None), "a cell is None"),
        (
            changed([IN, "cells", 1, "factor"], float("nan")),
            "factor of a cell is nan; expected a number above",
        ),
        (changed([IN, "cells", 1, "factor"], -1), "factor of a cell is -1"),
        (changed([IN, "cells", 1, "slices"], True), "slices of a cell is True"),
        (changed([IN, "cells", 1, "noise"], [0.1, 0.01]), "noise of a cell .*ascending"),
        (changed([IN, "cells", 1, "wedge_deg"], 30), "wedge_deg of a cell is 30"),
        (changed([IN, "calibration"], "none"), "calibration is 'none'; expected a table"),
    ],
)
def test_a_malformed_table_is_refused_with_the_entry(record, message):
    with pytest.raises(ValueError, match=message):
        tables_from_record(record)
