//! What was written, kept in a file: of a million events it is more than a benchmark should hold in memory.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Lines, Write as _},
    path::Path,
};

use projections::{CollectionSpec, DocumentKey, Json, Write};

/// A document as a line: collection, key, text.
type Line = (String, String, Option<String>);

/// Writes batches to a file.
pub(crate) struct Spool(BufWriter<File>);

impl Spool {
    pub(crate) fn create(path: &Path) -> Self {
        Self(BufWriter::new(File::create(path).unwrap()))
    }

    /// One transaction more. An empty line ends it.
    pub(crate) fn push(&mut self, writes: &[Write]) {
        for Write { document, value } in writes {
            let text = value.as_ref().map(|json| json.text().to_owned());
            let line: Line = (document.collection.to_owned(), document.key.clone(), text);
            serde_json::to_writer(&mut self.0, &line).unwrap();
            self.0.write_all(b"\n").unwrap();
        }
        self.0.write_all(b"\n").unwrap();
    }

    pub(crate) fn finish(mut self) {
        self.0.flush().unwrap();
    }
}

/// Reads the batches of a file, one after the other.
pub(crate) struct Batches<'c> {
    lines: Lines<BufReader<File>>,
    collections: &'c [CollectionSpec],
}

impl<'c> Batches<'c> {
    pub(crate) fn of(path: &Path, collections: &'c [CollectionSpec]) -> Self {
        Self { lines: BufReader::new(File::open(path).unwrap()).lines(), collections }
    }
}

impl Iterator for Batches<'_> {
    type Item = Vec<Write>;

    fn next(&mut self) -> Option<Vec<Write>> {
        let mut writes = Vec::new();
        loop {
            let line = self.lines.next()?.unwrap();
            if line.is_empty() {
                return Some(writes);
            }
            let (collection, key, text): Line = serde_json::from_str(&line).unwrap();
            let collection = self.collections.iter().find(|spec| spec.name == collection).unwrap().name;
            writes
                .push(Write { document: DocumentKey { collection, key }, value: text.map(Json::from_text) });
        }
    }
}
