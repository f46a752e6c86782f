//! Golden samples: events as they were really written, one of every version ever released, and whole histories.
//!
//! They must decode for ever, so no sample is changed or removed once it was released. To add an event or a version,
//! write its sample beside the others by hand, a whole CloudEvent, and tell of it in a history.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use events::{
    DecodeError, RecordedEvent, StreamId,
    envelope::{CloudEvent, parse_body},
    stream::{BEFORE_FIRST, Category, Partition, Position},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::folding::Unfoldable;

/// Why a golden file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// It is not what a golden file is.
    #[error("{0}: {1}")]
    Format(PathBuf, serde_json::Error),
    /// An event in it does not decode.
    #[error("{0}: {1}")]
    Event(PathBuf, DecodeError),
    /// A projection cannot apply an event of a history.
    #[error(transparent)]
    Unfoldable(#[from] Unfoldable),
}

/// One event version, as it was written.
#[derive(Debug)]
pub struct Sample {
    /// Where it lies, below `golden/`: `jobs/JobCreated.v1.json`.
    pub path: String,
    /// The whole CloudEvent.
    pub text: String,
}

impl Sample {
    /// The envelope.
    ///
    /// # Errors
    /// Text that is not one of our CloudEvents.
    pub fn event(&self) -> serde_json::Result<CloudEvent<'_>> {
        serde_json::from_str(&self.text)
    }
}

/// The golden histories of one category: each stream whole, from version 1.
#[derive(Debug)]
pub struct Histories {
    /// Whose streams.
    pub category: Category,
    /// The decoded events of each.
    pub streams: Vec<Vec<RecordedEvent>>,
}

/// A stream in a file of histories.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream<'a> {
    stream: StreamId,
    /// Whole CloudEvents.
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// All samples below `folder` (that of [`crate::folder`]), by path.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn samples(folder: &Path) -> Result<Vec<Sample>, GoldenError> {
    let golden = folder.join("golden");
    let mut samples = Vec::new();
    for service in events::Service::ALL {
        let service = service.name();
        for path in listed(&golden.join(service))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            samples.push(Sample { path: format!("{service}/{name}"), text: read(&path)? });
        }
    }
    Ok(samples)
}

/// The histories of every category, in the order of [`Category::ALL`].
///
/// # Errors
/// A file that is missing or does not decode.
pub fn histories(folder: &Path) -> Result<Vec<Histories>, GoldenError> {
    Category::ALL.iter().map(|category| histories_of(folder, *category)).collect()
}

/// The histories of one category.
///
/// # Errors
/// A file that is missing or does not decode.
pub fn histories_of(folder: &Path, category: Category) -> Result<Histories, GoldenError> {
    let path = folder.join("golden/histories").join(format!("{category}.json"));
    let text = read(&path)?;
    let streams: Vec<Stream<'_>> =
        serde_json::from_str(&text).map_err(|error| GoldenError::Format(path.clone(), error))?;
    let mut decoded = Vec::new();
    for (offset, stream) in (BEFORE_FIRST + 1..).zip(&streams) {
        let position = Position { partition: Partition { service: category.service(), number: 0 }, offset };
        let events = events_of(stream, position).map_err(|error| GoldenError::Event(path.clone(), error))?;
        decoded.push(events);
    }
    Ok(Histories { category, streams: decoded })
}

/// Every event of all histories, as a log would hand them out: by time, each stream in its own order.
pub fn by_time(histories: Vec<Histories>) -> Vec<RecordedEvent> {
    let mut events: Vec<_> = histories.into_iter().flat_map(|h| h.streams).flatten().collect();
    events.sort_by_key(|event| (event.stamp.time, event.stream, event.version));
    events
}

fn events_of(stream: &Stream<'_>, position: Position) -> Result<Vec<RecordedEvent>, DecodeError> {
    let mut events = Vec::new();
    for raw in &stream.events {
        // Each event is read as a commit of its own, so the log's own checks look at it.
        let body = format!("[{raw}]");
        for event in parse_body(body.as_bytes())? {
            let expected = (stream.stream, events.len() as u64 + 1);
            if (event.subject, event.streamversion) != expected {
                return Err(DecodeError::Malformed(format!(
                    "{} is not version {} of it",
                    event.id, expected.1
                )));
            }
            events.push(event.decode(position)?);
        }
    }
    Ok(events)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, GoldenError> {
    let failed = |error| GoldenError::File(folder.to_owned(), error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths =
        entries.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, GoldenError> {
    fs::read_to_string(path).map_err(|error| GoldenError::File(path.to_owned(), error))
}
