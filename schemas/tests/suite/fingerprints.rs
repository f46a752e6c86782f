//! A changed fold needs a new version.

use schemas::{
    fingerprints::{Difference, Fingerprints, report},
    folder,
};

#[test]
fn every_fold_makes_of_the_golden_histories_what_it_made_before() {
    let checked_in = Fingerprints::checked_in(&folder()).expect("the fingerprints are readable");
    let current = Fingerprints::current(&folder()).expect("the histories decode");
    assert!(
        current.aggregates.contains_key("job@1") || current.aggregates.keys().any(|f| f.starts_with("job@"))
    );
    let differences: Vec<String> = checked_in.differences(&current).iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}

fn aggregates<const N: usize>(folds: [(&str, &str); N]) -> Fingerprints {
    let aggregates = folds.map(|(fold, hash)| (fold.to_owned(), hash.to_owned())).into();
    Fingerprints { aggregates, ..Fingerprints::default() }
}

#[test]
fn a_changed_fold_is_not_taken_over_unless_it_is_accepted() {
    let had = aggregates([("job@1", "a"), ("login@1", "b"), ("session@1", "c")]);
    let now = aggregates([("job@1", "A"), ("login@2", "B"), ("session@1", "c")]);
    let (changed, absent) = (Difference::Changed("job@1".into()), Difference::Absent("login@2".into()));
    let expected = [changed.clone(), absent, Difference::Gone("login@1".into())];
    assert_eq!(had.differences(&now), expected);
    let advice = report(std::slice::from_ref(&changed));
    assert!(advice.starts_with("job@1") && advice.contains("FOLD_VERSION") && advice.contains("--accept"));
    let updated = had.updated(&now, false);
    assert_eq!(updated, aggregates([("job@1", "a"), ("login@2", "B"), ("session@1", "c")]));
    assert_eq!(updated.differences(&now), [changed]);
    assert_eq!(had.updated(&now, true), now);
}

#[test]
fn what_is_written_reads_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(Fingerprints::checked_in(folder.path()).expect("none"), Fingerprints::default());
    let fingerprints = aggregates([("job@1", "a")]);
    fingerprints.write(folder.path()).expect("written");
    assert_eq!(Fingerprints::checked_in(folder.path()).expect("read"), fingerprints);
}
