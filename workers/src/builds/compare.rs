//! Compares a build with the live one, document by document, at the same positions.
//!
//! Both are held still at positions that each of them reaches ([`super::hold`]); documents of a sample are read from both;
//! then it is made sure that neither was let go meanwhile. The sample is drawn before anybody is held: by a hash of seed
//! and key, from what both have, so it is the same for the same seed, and everything where there is little.

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

use events::{Partition, Timestamp, log::EventLog};
use projections::{
    DocumentKey, Json, Projection, ProjectionId, ReadStore, StoreError,
    builds::{Comparison, DocumentDifference},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    BuildsError,
    books::{self, Places},
    hold::{Held, Hold, Standing},
};
use crate::settings::WorkerSettings;

/// Documents looked at, at once, while a sample is drawn.
const PAGE: usize = 500;
/// Documents of one collection among which a sample is drawn, at most: what lies behind them is not looked at.
const WALKED_MAX: usize = 1_000_000;
/// Documents read at once while both stand still.
const READ_AT_ONCE: usize = 100;
/// Documents that differ of which a comparison tells how.
const DIFFERENCES_MAX: usize = 20;
/// Places of one document of which it tells.
const PLACES_MAX: usize = 10;
/// Characters of a value that it shows.
const VALUE_CHARACTERS_MAX: usize = 120;

/// Two builds of one projection.
pub(crate) struct Pair<'a> {
    pub(crate) store: &'a dyn ReadStore,
    pub(crate) log: &'a Arc<dyn EventLog>,
    pub(crate) projection: &'a dyn Projection,
    pub(crate) settings: &'a WorkerSettings,
    pub(crate) live: &'a ProjectionId,
    pub(crate) rebuilt: &'a ProjectionId,
}

/// By collection, the keys of the sample.
type Sample = BTreeMap<&'static str, BTreeSet<String>>;

impl Pair<'_> {
    /// Compares them; `seed` draws the sample.
    ///
    /// # Errors
    /// [`BuildsError::NotTogether`] when they could not be brought to stand at the same positions.
    pub(crate) async fn compare(&self, seed: u64) -> Result<Comparison, BuildsError> {
        let sample = self.draw(seed).await?;
        let scopes = books::scopes(self.log.as_ref(), self.projection);
        let partitions: Vec<Partition> =
            scopes.iter().flat_map(|(_, partitions)| partitions.clone()).collect();
        let hold = Hold::still(Uuid::now_v7(), self.settings.builds_hold_ms, false);
        let held = |id| Held { store: self.store, id, scopes: &scopes, hold: hold.clone() };
        let (mut rebuilt, mut live) = (held(self.rebuilt), held(self.live));
        let outcome = self.compare_held(&mut rebuilt, &mut live, &partitions, &sample, seed).await;
        live.lift().await;
        rebuilt.lift().await;
        outcome
    }

    async fn compare_held<'h>(
        &self,
        rebuilt: &mut Held<'h>,
        live: &mut Held<'h>,
        partitions: &[Partition],
        sample: &Sample,
        seed: u64,
    ) -> Result<Comparison, BuildsError> {
        // The one that nobody reads first: the live one stands still for as short as can be.
        rebuilt.place().await?;
        live.place().await?;
        let standing = |id| Standing { store: self.store, id, log: self.log.id(), partitions };
        let (of_rebuilt, of_live) = (standing(self.rebuilt), standing(self.live));
        let (here, there) = (of_rebuilt.places().await?, of_live.places().await?);
        let together = furthest(&here, &there);
        for (held, places) in [(&mut *rebuilt, &here), (&mut *live, &there)] {
            if *places != together {
                held.hold.upto.clone_from(&together);
                held.place().await?;
            }
        }
        // Some of the time is left for reading.
        let until =
            rebuilt.hold.until.plus_millis(-i64::try_from(self.settings.builds_hold_ms / 4).unwrap_or(0));
        let arrived =
            of_rebuilt.reaches(&together, until).await? && of_live.reaches(&together, until).await?;
        let follows = self.live.version == self.projection.version();
        if !arrived && follows {
            let (here, there) = (of_rebuilt.places().await?, of_live.places().await?);
            return Err(BuildsError::NotTogether(format!(
                "{} is {} and {} is {} short of where both should stand",
                self.rebuilt,
                books::behind(&here, &together),
                self.live,
                books::behind(&there, &together)
            )));
        }
        let mut comparison = self.read(sample, seed).await?;
        comparison.positions = arrived.then(|| together.clone());
        // Whoever was let go may have written before its documents were read.
        let still = rebuilt.stands().await? && live.stands().await?;
        let moved =
            arrived && (of_rebuilt.places().await? != together || of_live.places().await? != together);
        if !still || moved {
            return Err(BuildsError::NotTogether("they went on while they were compared".to_owned()));
        }
        Ok(comparison)
    }

    async fn read(&self, sample: &Sample, seed: u64) -> Result<Comparison, StoreError> {
        let mut comparison = Comparison {
            with: self.live.clone(),
            at: Timestamp::now(),
            positions: None,
            seed,
            documents: 0,
            different: 0,
            differences: Vec::new(),
        };
        for (collection, keys) in sample {
            let keys: Vec<DocumentKey> =
                keys.iter().map(|key| DocumentKey { collection, key: key.clone() }).collect();
            for keys in keys.chunks(READ_AT_ONCE) {
                let live = self.store.get_many(self.live, keys).await?;
                let rebuilt = self.store.get_many(self.rebuilt, keys).await?;
                for ((document, live), rebuilt) in keys.iter().zip(live).zip(rebuilt) {
                    comparison.documents += 1;
                    if live == rebuilt {
                        continue;
                    }
                    comparison.different += 1;
                    if comparison.differences.len() < DIFFERENCES_MAX {
                        comparison.differences.push(DocumentDifference {
                            collection: document.collection.to_owned(),
                            key: document.key.clone(),
                            places: differences(live.as_ref(), rebuilt.as_ref()),
                        });
                    }
                }
            }
        }
        Ok(comparison)
    }

    async fn draw(&self, seed: u64) -> Result<Sample, StoreError> {
        let mut sample = Sample::new();
        for spec in self.projection.collections() {
            let keys: &mut BTreeSet<String> = sample.entry(spec.name).or_default();
            for build in [self.rebuilt, self.live] {
                match self.draw_from(build, spec.name, seed).await {
                    Ok(drawn) => keys.extend(drawn),
                    // Another version may not have had this collection: then all that is there is new.
                    Err(StoreError::Refused(_)) if build.version != self.projection.version() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(sample)
    }

    /// The keys with the smallest hashes.
    async fn draw_from(
        &self,
        build: &ProjectionId,
        collection: &'static str,
        seed: u64,
    ) -> Result<Vec<String>, StoreError> {
        let wanted = self.settings.builds_sample_max.max(1);
        let (mut drawn, mut after, mut walked) = (BinaryHeap::new(), None, 0);
        while walked < WALKED_MAX {
            let page = self.store.scan(build, collection, after, PAGE).await?;
            walked += page.len();
            after = page.last().map(|(key, _)| key.clone());
            let ended = page.len() < PAGE;
            for (key, _) in page {
                drawn.push((hash(seed, &key), key));
                if drawn.len() > wanted {
                    drawn.pop();
                }
            }
            if ended {
                break;
            }
        }
        Ok(drawn.into_iter().map(|(_, key)| key).collect())
    }
}

/// Whichever is further, partition by partition.
fn furthest(one: &Places, other: &Places) -> Places {
    let mut furthest = one.clone();
    for (partition, offset) in other {
        let place = furthest.entry(partition.clone()).or_insert(*offset);
        *place = (*place).max(*offset);
    }
    furthest
}

/// FNV-1a, stirred: the same on every machine, and keys that are alike end up far apart.
fn hash(seed: u64, key: &str) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = key.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325 ^ seed, fnv);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (hash >> 31)
}

/// What differs, place by place, for people.
fn differences(live: Option<&Json>, rebuilt: Option<&Json>) -> Vec<String> {
    let (live, rebuilt) = match (live, rebuilt) {
        (Some(live), Some(rebuilt)) => (live, rebuilt),
        (None, _) => return vec!["the live one does not have it".to_owned()],
        (_, None) => return vec!["the rebuilt one does not have it".to_owned()],
    };
    let (Ok(live), Ok(rebuilt)) = (live.parse::<Value>(), rebuilt.parse::<Value>()) else {
        return vec!["it is not a document".to_owned()];
    };
    let mut places = Vec::new();
    walk("", &live, &rebuilt, &mut places);
    if places.is_empty() {
        places.push("the fields come in another order".to_owned());
    }
    places
}

fn walk(place: &str, live: &Value, rebuilt: &Value, places: &mut Vec<String>) {
    if live == rebuilt || places.len() >= PLACES_MAX {
        return;
    }
    match (live, rebuilt) {
        (Value::Object(live), Value::Object(rebuilt)) => {
            let names: BTreeSet<&String> = live.keys().chain(rebuilt.keys()).collect();
            for name in names {
                let of =
                    |fields: &serde_json::Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                walk(&format!("{place}/{name}"), &of(live), &of(rebuilt), places);
            }
        }
        (Value::Array(live), Value::Array(rebuilt)) if live.len() == rebuilt.len() => {
            for (index, (live, rebuilt)) in live.iter().zip(rebuilt).enumerate() {
                walk(&format!("{place}/{index}"), live, rebuilt, places);
            }
        }
        (live, rebuilt) => {
            let place = if place.is_empty() { "/" } else { place };
            places.push(format!("{place}: live {}, rebuilt {}", shown(live), shown(rebuilt)));
        }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_CHARACTERS_MAX {
        return text;
    }
    text.chars().take(VALUE_CHARACTERS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(live: &str, rebuilt: &str) -> Vec<String> {
        differences(Some(&Json::from_text(live)), Some(&Json::from_text(rebuilt)))
    }

    #[test]
    fn a_difference_says_where_and_what() {
        let places = told(r#"{"a":1,"b":{"c":[1,2]},"d":null}"#, r#"{"a":1,"b":{"c":[1,3]},"e":"x"}"#);
        assert_eq!(places, ["/b/c/1: live 2, rebuilt 3", r#"/e: live null, rebuilt "x""#]);
        assert_eq!(told(r#"{"a":[1]}"#, r#"{"a":[1,2]}"#), ["/a: live [1], rebuilt [1,2]"]);
        assert_eq!(told(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#), ["the fields come in another order"]);
        assert_eq!(differences(None, Some(&Json::from_text("{}"))), ["the live one does not have it"]);
        let long = format!("\"{}\"", "x".repeat(500));
        assert!(told("1", &long)[0].chars().count() < 200);
    }

    #[test]
    fn a_sample_depends_on_the_seed_and_on_nothing_else() {
        let keys: Vec<String> = (0..1000).map(|number| format!("job_{number:08}")).collect();
        let drawn = |seed| {
            let mut hashes: Vec<(u64, &String)> = keys.iter().map(|key| (hash(seed, key), key)).collect();
            hashes.sort_unstable();
            hashes.into_iter().take(10).map(|(_, key)| key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let spread: BTreeSet<char> = drawn(3).iter().filter_map(|key| key.chars().nth(9)).collect();
        assert!(spread.len() > 3, "they come from everywhere: {spread:?}");
    }
}
