//! Which database a projection lives in: that of its service, or the shared one.
//!
//! Everything of a projection lies in one database: its documents, its letters and turns, its checkpoints and the record
//! of what was made for it. So whoever drops a database drops a whole: what is gone is built anew, and no checkpoint
//! speaks of documents that are not there.

use std::{collections::HashMap, sync::LazyLock};

use events::Service;

/// The databases of one read store.
#[derive(Clone, Debug)]
pub(super) struct Homes {
    prefix: String,
}

/// The one service whose events a projection of this release folds.
static SERVICES: LazyLock<HashMap<&'static str, Service>> = LazyLock::new(|| {
    let all = crate::all();
    let of_one = all.iter().filter_map(|projection| match projection.topics() {
        [service] => Some((projection.name(), *service)),
        _ => None,
    });
    of_one.collect()
});

impl Homes {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// `<prefix>_<service>` for a projection that folds the events of one service; `<prefix>_shared` for one that folds
    /// those of several, and for what is no read model: the process managers'
    /// places, and what is known of builds.
    pub(super) fn of(&self, projection: &str) -> String {
        let home = SERVICES.get(projection).map_or("shared", |service| service.name());
        format!("{}_{home}", self.prefix)
    }

    /// Every database there may be.
    pub(super) fn all(&self) -> impl Iterator<Item = String> {
        let names = Service::ALL.iter().map(|service| service.name()).chain(["shared"]);
        names.map(|home| format!("{}_{home}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_of_one_service_lives_in_its_database_and_all_others_in_the_shared_one() {
        let homes = Homes::new("guildhall");
        assert_eq!(homes.of("board"), "guildhall_jobs");
        assert_eq!(homes.of("sessions"), "guildhall_identity");
        assert_eq!(homes.of("timers"), "guildhall_shared");
        assert_eq!(homes.of("reactor"), "guildhall_shared");
        assert!(homes.all().any(|home| home == "guildhall_payments"));
    }
}
