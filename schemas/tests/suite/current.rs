//! The schemas that are checked in are those of the types.

use std::{collections::BTreeSet, fs};

use events::{DomainEvent, Event};
use schemars::{JsonSchema, generate::SchemaSettings};
use schemas::{
    catalogue::{Catalogue, read_model_path},
    files::{Problem, check, generate},
    folder,
    folding::{AggregateVisitor, for_each_aggregate},
};

#[test]
fn the_schemas_are_current() {
    let problems = check(&folder(), &Catalogue::current()).expect("the folder is readable");
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_event_and_every_aggregate_has_its_schema() {
    let catalogue = Catalogue::current();
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    for event in Event::all_schemas(&mut generator) {
        let path = format!("events/{}.v{}.json", event.event_type(), event.version);
        assert!(catalogue.generated.contains_key(&path), "{path}");
    }
    assert!(catalogue.frozen.contains("events/guildhall.jobs.JobCreated.v1.json"));
    assert!(catalogue.generated.contains_key("commands/guildhall.jobs.job.json"));
}

struct Categories(BTreeSet<events::Category>);

impl AggregateVisitor for Categories {
    fn visit<A: commands::Aggregate<Command: JsonSchema>>(&mut self) {
        assert_eq!(A::CATEGORY, A::Event::CATEGORY);
        assert!(self.0.insert(A::CATEGORY), "{} is listed twice", A::CATEGORY);
    }
}

#[test]
fn every_category_of_streams_has_its_aggregate_in_the_list() {
    let mut categories = Categories(BTreeSet::new());
    for_each_aggregate(&mut categories);
    assert_eq!(categories.0, events::Category::ALL.iter().copied().collect());
}

#[test]
fn every_collection_of_every_read_model_has_its_schema() {
    let mut expected = BTreeSet::new();
    for projection in projections::all() {
        let paths = projection.collections().iter().map(|spec| read_model_path(&projection.id(), spec.name));
        expected.extend(paths);
    }
    let catalogue = Catalogue::current();
    let listed = catalogue.generated.into_keys().filter(|path| path.starts_with("read-models/"));
    assert_eq!(listed.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_check_names_what_is_missing_stale_extra_and_lost_and_generation_mends_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let catalogue = Catalogue {
        generated: [("events/new", "1\n"), ("events/changed", "2\n"), ("events/same", "3\n")]
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .into(),
        frozen: ["events/frozen".to_owned(), "events/lost".to_owned()].into(),
    };
    fs::create_dir(path("events")).expect("made");
    for (name, text) in [("changed", "old"), ("same", "3\n"), ("extra", "?"), ("frozen", "for ever")] {
        fs::write(path("events").join(name), text).expect("written");
    }
    let lost = Problem::FrozenMissing("events/lost".into());
    let found = check(folder.path(), &catalogue).expect("readable");
    let expected = [
        Problem::Stale("events/changed".into()),
        Problem::Missing("events/new".into()),
        lost.clone(),
        Problem::Extra("events/extra".into()),
    ];
    assert_eq!(found, expected);
    let changed = generate(folder.path(), &catalogue).expect("written");
    assert_eq!(changed, ["events/changed", "events/new", "events/extra"]);
    assert_eq!(check(folder.path(), &catalogue).expect("readable"), [lost]);
    assert_eq!(fs::read_to_string(path("events/frozen")).expect("left alone"), "for ever");
}
