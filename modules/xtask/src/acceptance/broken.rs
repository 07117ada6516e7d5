//! The list of scenarios in which something has gone wrong already or is made to at every turn, and of unusual networks.

use super::{Scenario, ipv6, stuck, undone};

/// All long: the covering selection has a failed join and a killed one of its own.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "stuck-creations",
        what: "recover.yml brings back clusters of one as PVE leaves them: on no address, waiting, with an id taken",
        is_long: true,
        run: stuck::creations,
    },
    Scenario {
        name: "stuck-members",
        what: "the same for members: ids, certificates, lists, removals, and the last one without quorum",
        is_long: true,
        run: stuck::members,
    },
    Scenario {
        name: "undone",
        what: "by each method, a join that fails leaves the joiner byte for byte as it was",
        is_long: true,
        run: undone::every_method,
    },
    Scenario {
        name: "ipv6",
        what: "the probe names what is wrong on IPv6 links, and a cluster forms over them",
        is_long: true,
        run: ipv6::cluster,
    },
];
