//! Fold fingerprints: a hash of what the golden histories fold to, for every aggregate and every projection.
//!
//! A snapshot and a read model are caches of a fold. When a fold changes, what was cached with the old one is wrong,
//! and only a new version says so. The fingerprints, checked in, make sure that nobody forgets: the same version must
//! fold the same histories to the same state, for ever.

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use aws_lc_rs::digest::{Context, SHA256};
use commands::Aggregate;
use data_encoding::HEXLOWER;
use events::RecordedEvent;
use projections::Projection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    GENERATE,
    folding::{AggregateVisitor, Unfoldable, for_each_aggregate, states, writes},
    golden::{self, GoldenError, Histories},
    sorted,
};

/// The fingerprints, by name and version of the fold: `job@1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprints {
    /// Of the aggregates.
    #[serde(default)]
    pub aggregates: BTreeMap<String, String>,
    /// Of the projections.
    #[serde(default)]
    pub projections: BTreeMap<String, String>,
}

/// What the file of fingerprints and the folds disagree about. What to do says [`report`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The fold gives something else than it did.
    Changed(String),
    /// The file knows no fingerprint of this version.
    Absent(String),
    /// The file has a fingerprint of a version or a fold that is no more.
    Gone(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(fold) => {
                write!(f, "{fold} folds the golden histories to something else than it did")
            }
            Self::Absent(fold) => write!(f, "{fold} has no fingerprint yet: run `{GENERATE}`"),
            Self::Gone(fold) => write!(f, "{fold} has a fingerprint and is no more: run `{GENERATE}`"),
        }
    }
}

/// The differences, a line each, and what to do about changed folds; empty when there are none.
pub fn report(differences: &[Difference]) -> String {
    let mut lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    if differences.iter().any(|difference| matches!(difference, Difference::Changed(_))) {
        lines.push(format!(
            "  If a fold was meant to change, raise its version (FOLD_VERSION of an aggregate, version() of a projection), \
             so that snapshots and read models made by the old one are not used, and run `{GENERATE}`.\n  \
             If it was not, undo the change.\n  \
             If only the golden histories grew, or the version was never released, run `{GENERATE} --accept`."
        ));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

impl Fingerprints {
    /// What the folds of this release make of the golden histories below `folder`.
    ///
    /// # Errors
    /// Golden histories that do not decode, or that a projection cannot apply.
    pub fn current(folder: &Path) -> Result<Self, GoldenError> {
        let histories = golden::histories(folder)?;
        let mut aggregates = Aggregates { histories: &histories, fingerprints: BTreeMap::new() };
        for_each_aggregate(&mut aggregates);
        let aggregates = aggregates.fingerprints;
        let (events, mut of_projections) = (golden::by_time(histories), BTreeMap::new());
        for projection in projections::all() {
            let fold = format!("{}@{}", projection.name(), projection.version());
            of_projections.insert(fold, of_projection(&*projection, &events)?);
        }
        Ok(Self { aggregates, projections: of_projections })
    }

    /// The fingerprints that are checked in below `folder`.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML of fingerprints. No file is no fingerprints.
    pub fn checked_in(folder: &Path) -> io::Result<Self> {
        match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => toml::from_str(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes them below `folder`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let table = toml::to_string(self).map_err(io::Error::other)?;
        fs::write(folder.join(FILE), format!("{HEADER}\n{}\n", table.trim_end()))
    }

    /// What `self`, checked in, and `current` disagree about.
    pub fn differences(&self, current: &Self) -> Vec<Difference> {
        let mut differences = compare(&self.aggregates, &current.aggregates);
        differences.extend(compare(&self.projections, &current.projections));
        differences
    }

    /// What should be checked in: `current`, but for changed folds that are not accepted, which keep what they had.
    pub fn updated(&self, current: &Self, accept: bool) -> Self {
        let update = |old: &BTreeMap<String, String>, new: &BTreeMap<String, String>| {
            let kept = |fold: &String| old.get(fold).filter(|_| !accept);
            new.iter().map(|(fold, hash)| (fold.clone(), kept(fold).unwrap_or(hash).clone())).collect()
        };
        Self {
            aggregates: update(&self.aggregates, &current.aggregates),
            projections: update(&self.projections, &current.projections),
        }
    }
}

const FILE: &str = "fingerprints.toml";

const HEADER: &str = "# What every fold makes of the golden histories, by name and version: SHA-256 of its state, or of its documents.
# Written by `cargo run -p schemas -- generate`; a changed fold needs a new version.
";

fn compare(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Difference> {
    let known = new.iter().filter_map(|(fold, hash)| match old.get(fold) {
        None => Some(Difference::Absent(fold.clone())),
        Some(had) => (had != hash).then(|| Difference::Changed(fold.clone())),
    });
    let gone = old.keys().filter(|fold| !new.contains_key(*fold)).map(|fold| Difference::Gone(fold.clone()));
    known.chain(gone).collect()
}

struct Aggregates<'a> {
    histories: &'a [Histories],
    fingerprints: BTreeMap<String, String>,
}

impl AggregateVisitor for Aggregates<'_> {
    fn visit<A: Aggregate<Command: JsonSchema>>(&mut self) {
        let mut hash = Context::new(&SHA256);
        for state in states::<A>(self.histories) {
            let state = serde_json::to_value(&state).expect("an aggregate serialises, as snapshots need it");
            add(&mut hash, &sorted(state).to_string());
        }
        self.fingerprints.insert(format!("{}@{}", A::CATEGORY, A::FOLD_VERSION), finished(hash));
    }
}

/// Documents are hashed as the text they are stored as: a rebuilt read model is equal byte for byte.
fn of_projection(projection: &dyn Projection, events: &[RecordedEvent]) -> Result<String, Unfoldable> {
    let mut hash = Context::new(&SHA256);
    for write in writes(projection, events)? {
        add(&mut hash, write.document.collection);
        add(&mut hash, &write.document.key);
        add(&mut hash, write.value.as_ref().map_or("", |json| json.text()));
    }
    Ok(finished(hash))
}

/// Adds one text, so that no two lists of texts look alike.
fn add(hash: &mut Context, text: &str) {
    hash.update(&(text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn finished(hash: Context) -> String {
    HEXLOWER.encode(hash.finish().as_ref())
}
