//! Golden samples of every event version ever released decode for ever.

use std::{collections::BTreeSet, fs};

use events::{
    Event, Position,
    stream::Category,
    upcast::{UPCASTERS, decode},
};
use schemars::generate::SchemaSettings;
use schemas::{
    folder,
    golden::{Sample, by_time, histories, samples},
};
use serde_json::{Value, value::RawValue};

fn all_samples() -> Vec<Sample> {
    samples(&folder()).expect("the samples are readable")
}

/// Where a sample's commit would stand.
fn anywhere() -> Position {
    "jobs/0/0".parse().expect("a position")
}

/// The event's data as it would be written today.
fn written(event: Event) -> Value {
    let written = match event {
        Event::Account(event) => serde_json::to_value(event),
        Event::Login(event) => serde_json::to_value(event),
        Event::Session(event) => serde_json::to_value(event),
        Event::Registration(event) => serde_json::to_value(event),
        Event::Job(event) => serde_json::to_value(event),
        Event::Contract(event) => serde_json::to_value(event),
        Event::Hire(event) => serde_json::to_value(event),
        Event::Payment(event) => serde_json::to_value(event),
        Event::Escrow(event) => serde_json::to_value(event),
        Event::Wallet(event) => serde_json::to_value(event),
        Event::Payout(event) => serde_json::to_value(event),
        Event::PaymentMethod(event) => serde_json::to_value(event),
        Event::PayoutDestination(event) => serde_json::to_value(event),
        Event::Receipt(event) => serde_json::to_value(event),
        Event::Funding(event) => serde_json::to_value(event),
        Event::Release(event) => serde_json::to_value(event),
        Event::PayoutRun(event) => serde_json::to_value(event),
        Event::Reconciliation(event) => serde_json::to_value(event),
        Event::TestClock(event) => serde_json::to_value(event),
    };
    written.expect("an event serialises")
}

fn json(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).expect("JSON")
}

#[test]
fn every_sample_decodes_and_is_what_its_name_says() {
    for sample in all_samples() {
        let event = sample.event().unwrap_or_else(|error| panic!("{}: {error}", sample.path));
        let recorded = event.decode(anywhere()).unwrap_or_else(|error| panic!("{}: {error}", sample.path));
        let service = event.subject.category.service();
        let (name, version) = (recorded.payload.name(), event.schemaversion);
        assert_eq!(sample.path, format!("{service}/{name}.v{version}.json"));
        assert_eq!(event.event_type, format!("guildhall.{service}.{name}"));
        assert_eq!(event.dataschema, format!("events/guildhall.{service}.{name}.v{version}.json"));
        assert_eq!(recorded.payload.category(), event.subject.category);
        let again: Value = serde_json::to_value(&event).expect("an envelope serialises");
        let text: Value = serde_json::from_str(&sample.text).expect("JSON");
        assert_eq!(again, text, "{}: the envelope has attributes that are not read", sample.path);
    }
}

#[test]
fn every_event_version_ever_released_has_a_sample() {
    let found: BTreeSet<String> = all_samples().into_iter().map(|sample| sample.path).collect();
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let expected = Event::all_schemas(&mut generator).into_iter().flat_map(|event| {
        (1..=event.version).map(move |version| format!("{}/{}.v{version}.json", event.service(), event.name))
    });
    assert_eq!(found, expected.collect::<BTreeSet<_>>());
}

#[test]
fn a_sample_of_the_current_version_is_written_again_as_it_was() {
    let mut current = 0;
    for sample in all_samples() {
        let event = sample.event().expect("decodes");
        let recorded = event.decode(anywhere()).expect("decodes");
        let name = recorded.payload.name();
        if Event::current_version(event.subject.category, name) == Some(event.schemaversion) {
            assert_eq!(written(recorded.payload), json(event.data), "{}", sample.path);
            current += 1;
        }
    }
    assert!(current > 0);
}

#[test]
fn the_data_of_every_sample_fits_its_schema() {
    for sample in all_samples() {
        let event = sample.event().expect("decodes");
        let schema = fs::read_to_string(folder().join(&*event.dataschema)).expect("the schema is there");
        let schema: Value = serde_json::from_str(&schema).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        if let Err(error) = validator.validate(&json(event.data)) {
            panic!("{}: {error}", sample.path);
        }
        assert!(!validator.is_valid(&Value::Null), "{}: its schema lets everything through", sample.path);
    }
}

#[test]
fn the_schema_of_an_old_version_refuses_the_new_one() {
    let read = |path: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(folder().join(path)).expect("there")).expect("JSON")
    };
    for (old, new) in [(1, 2), (2, 1)] {
        let schema = read(&format!("events/guildhall.jobs.JobCreated.v{old}.json"));
        let sample = read(&format!("golden/jobs/JobCreated.v{new}.json"));
        assert!(!jsonschema::is_valid(&schema, &sample["data"]), "v{new} fits the schema of v{old}");
    }
}

/// The versions of `name` that are not the current one.
fn old_versions(category: Category, name: &str) -> std::ops::Range<u16> {
    1..Event::current_version(category, name).expect("a known event")
}

#[test]
fn there_is_exactly_one_upcaster_for_every_step_between_versions() {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let steps = Event::all_schemas(&mut generator)
        .into_iter()
        .flat_map(|event| (1..event.version).map(move |from| (event.category, event.name, from)));
    let listed: Vec<_> =
        UPCASTERS.iter().map(|(category, name, from, _)| (*category, *name, *from)).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a step is listed twice");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), steps.collect());
}

#[test]
fn every_upcaster_lifts_a_sample() {
    for (category, name, from, upcaster) in UPCASTERS {
        let path = format!("{}/{name}.v{from}.json", category.service());
        let sample = all_samples().into_iter().find(|sample| sample.path == path).expect("a sample");
        let data = json(sample.event().expect("decodes").data);
        let lifted = upcaster(data.clone()).expect("the upcaster lifts the sample");
        assert_ne!(lifted, data, "{path} is not changed by its upcaster");
        assert!(old_versions(*category, name).contains(from));
    }
}

#[test]
fn a_single_budget_is_read_as_both_ends_of_a_range() {
    let sample = all_samples().into_iter().find(|s| s.path == "jobs/JobCreated.v1.json").expect("a sample");
    let event = sample.event().expect("decodes");
    let decoded = decode(Category::Job, &event.event_type, 1, event.data).expect("decodes");
    let (old, new) = (json(event.data), written(decoded));
    assert_eq!(new["terms"]["budget"]["min"], old["terms"]["budget"]);
    assert_eq!(new["terms"]["budget"]["max"], old["terms"]["budget"]);
    assert_eq!((&new["client"], &new["terms"]["title"]), (&old["client"], &old["terms"]["title"]));
}

#[test]
fn the_histories_tell_of_every_event_in_an_order_that_can_be() {
    let histories = histories(&folder()).expect("the histories decode");
    let mut told = BTreeSet::new();
    for stream in histories.iter().flat_map(|histories| &histories.streams) {
        assert!(stream.is_sorted_by_key(|event| event.stamp.time), "{} goes back in time", stream[0].stream);
        told.extend(stream.iter().map(|event| (event.stream.category, event.payload.name())));
    }
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let known = Event::all_schemas(&mut generator).into_iter().map(|event| (event.category, event.name));
    assert_eq!(told, known.collect());
    let events = by_time(histories);
    let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len(), "every event has an id of its own");
}

/// The words that a schema lets through where it lists them: the names of enum variants.
fn words_of(schema: &Value, words: &mut BTreeSet<String>) {
    if let Value::Object(object) = schema {
        let listed = object.get("enum").and_then(Value::as_array).into_iter().flatten();
        let word = |value: &Value| value.as_str().map(str::to_owned);
        words.extend(listed.chain(object.get("const")).filter_map(word));
        object.values().for_each(|value| words_of(value, words));
    } else if let Value::Array(elements) = schema {
        elements.iter().for_each(|value| words_of(value, words));
    }
}

fn texts_in(data: &Value, texts: &mut BTreeSet<String>) {
    match data {
        Value::String(text) => drop(texts.insert(text.clone())),
        Value::Array(elements) => elements.iter().for_each(|value| texts_in(value, texts)),
        Value::Object(object) => object.values().for_each(|value| texts_in(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn the_histories_tell_of_every_variant_that_an_event_can_carry() {
    let (mut known, mut missing) = (0, Vec::new());
    let events = by_time(histories(&folder()).expect("the histories decode"));
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    for event in Event::all_schemas(&mut generator) {
        let path = format!("events/{}.v{}.json", event.event_type(), event.version);
        let schema = fs::read_to_string(folder().join(path)).expect("the schema is there");
        let (mut words, mut told) = (BTreeSet::new(), BTreeSet::new());
        words_of(&serde_json::from_str(&schema).expect("JSON"), &mut words);
        for recorded in events.iter().filter(|recorded| recorded.payload.name() == event.name) {
            texts_in(&written(recorded.payload.clone()), &mut told);
        }
        known += words.len();
        missing.extend(words.difference(&told).map(|word| format!("{}: {word}", event.name)));
    }
    assert!(known > 30, "the schemas list {known} words: the test does not see them");
    assert!(missing.is_empty(), "a variant that was renamed would go unseen:\n{}", missing.join("\n"));
}

#[test]
fn a_sample_never_holds_an_opened_value() {
    for sample in all_samples() {
        for word in ["@example.org", "argon2", "Mensah"] {
            assert!(!sample.text.contains(word), "{} holds {word}", sample.path);
        }
    }
}
