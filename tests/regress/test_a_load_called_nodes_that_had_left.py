"""`make rolling` ended its members one after another while the others still called them.

Those calls waited for nodes that did not come back and failed at their deadlines, so that the
record told of failed calls where no change of the cluster had failed any.
"""

from __future__ import annotations

from pathlib import Path

from bench.rolling.cluster import MEMBERS, Cluster
from bench.rolling.mount import issue
from ztransport.certs import create_authority

ALL_CONNECTIONS = 2 * (len(MEMBERS) - 1)
"""Of each member: it dials the others and is dialled by them."""


def test_a_load_called_nodes_that_had_left(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, age_ms=0, callers=len(MEMBERS))
    authority = create_authority("rolling")
    for number, name in enumerate(MEMBERS):
        cluster.mounts[name].put(issue(authority, number)[0], authority.certificate_pem)
    try:
        cluster.start(MEMBERS, (None, None))
        while any(cluster.statistics(name)["connections"] < ALL_CONNECTIONS for name in MEMBERS):
            pass
        cluster.stop_all()
    finally:
        cluster.kill()
    assert sum(one["sent"] for one in cluster.ended) > 0
    assert {one["name"]: one["failures"] for one in cluster.ended} == {name: {} for name in MEMBERS}
