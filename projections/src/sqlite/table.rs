//! How a collection lies in the file: a table of documents, real columns for indexed scalars, and for each index with an
//! array field a side table with one entry per element.

use std::fmt::Write as _;

use crate::{CollectionSpec, Index, ProjectionId, StoreError};

/// A collection of one build of one projection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// `<projection>_v<N>__<collection>`, `<projection>_v<N>_b<B>__<collection>` for a rebuild.
    pub(super) name: String,
    /// As declared.
    pub(super) spec: CollectionSpec,
    /// Scalar fields with a column of their own, in order.
    pub(super) columns: Vec<&'static str>,
    /// The columns first, then the array fields: what is picked out of a document.
    pub(super) picked: Vec<&'static str>,
}

impl Table {
    /// The layout of a collection; every name in it is checked, since names become part of SQL.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a declaration that makes no sense.
    pub(super) fn new(projection: &ProjectionId, spec: CollectionSpec) -> Result<Self, StoreError> {
        let named = spec.indexes.iter().flat_map(|index| index.fields).chain(spec.fields).chain(spec.arrays);
        let fixed = [spec.name].into_iter().chain(spec.indexes.iter().map(|index| index.name));
        let bad = fixed.chain(named.clone().copied()).find(|name| !is_plain(name));
        if let Some(bad) = bad.or_else(|| Some(projection.name.as_str()).filter(|name| !is_plain(name))) {
            return Err(StoreError::Refused(format!("{bad:?} is not a name of the form [a-z0-9_]+")));
        }
        let mut columns = Vec::new();
        for field in named {
            if !spec.arrays.contains(field) && !columns.contains(field) {
                columns.push(*field);
            }
        }
        for index in spec.indexes {
            let arrays = index.fields.iter().filter(|field| spec.arrays.contains(field)).count();
            if arrays > 1 || index.fields.last().is_none_or(|last| spec.arrays.contains(last)) {
                let reason =
                    format!("the index {} must have at most one array, not in last place", index.name);
                return Err(StoreError::Refused(reason));
            }
        }
        let picked = columns.iter().chain(spec.arrays).copied().collect();
        Ok(Self { name: format!("{projection}__{}", spec.name), spec, columns, picked })
    }

    /// The array field of `index`, when it has one.
    pub(super) fn array_of(&self, index: &Index) -> Option<&'static str> {
        index.fields.iter().copied().find(|field| self.spec.arrays.contains(field))
    }

    /// The indexes with an array field: those with a side table.
    pub(super) fn array_indexes(&self) -> impl Iterator<Item = (&'static Index, &'static str)> {
        self.spec.indexes.iter().filter_map(|index| Some((index, self.array_of(index)?)))
    }

    /// The name of an index, and of its side table when it has one.
    pub(super) fn index_name(&self, index: &Index) -> String {
        format!("{}__{}", self.name, index.name)
    }

    /// The place of `field` among what is picked out of a document.
    pub(super) fn place(&self, field: &str) -> usize {
        self.picked.iter().position(|picked| *picked == field).expect("every indexed field is picked")
    }

    /// Everything that has to be made, in order.
    pub(super) fn create(&self) -> String {
        let name = &self.name;
        let columns: String = self.columns.iter().fold(String::new(), |mut text, field| {
            let _ = write!(text, ", f_{field}");
            text
        });
        let mut sql =
            format!("CREATE TABLE {name} (key TEXT NOT NULL PRIMARY KEY, document TEXT NOT NULL{columns});");
        for index in self.spec.indexes {
            let index_name = self.index_name(index);
            let array = self.array_of(index);
            let fields: Vec<String> = (index.fields.iter().filter(|field| Some(**field) != array))
                .map(|field| format!("f_{field}"))
                .collect();
            let fields = fields.join(", ");
            let _ = if array.is_some() {
                write!(
                    sql,
                    "CREATE TABLE {index_name} (element NOT NULL, {fields}, key TEXT NOT NULL, \
                     PRIMARY KEY (element, {fields}, key)) WITHOUT ROWID;"
                )
            } else {
                write!(sql, "CREATE INDEX {index_name} ON {name} ({fields}, key);")
            };
        }
        sql
    }

    /// Everything that has to be removed.
    pub(super) fn names(&self) -> Vec<String> {
        let side_tables = self.array_indexes().map(|(index, _)| self.index_name(index));
        side_tables.chain([self.name.clone()]).collect()
    }

    /// The declaration as text, to notice another one.
    pub(super) fn declaration(&self) -> String {
        let indexes: Vec<String> =
            self.spec.indexes.iter().map(|i| format!("{}({})", i.name, i.fields.join(","))).collect();
        let (arrays, fields) = (self.spec.arrays.join(","), self.spec.fields.join(","));
        format!("{} arrays({arrays}) fields({fields})", indexes.join(" "))
    }
}

/// Fit to stand in SQL as a name.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}
