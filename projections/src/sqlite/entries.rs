//! The side tables of indexes with an array: one entry per element.
//!
//! A batch gathers what is to come and to go and carries it out in the order of the side tables, so that it walks
//! through each of them once: entries of one document lie far apart, those of one element side by side.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, params_from_iter};

use super::{Failure, query::Bound};
use crate::{Index, Scalar, fields::Field, layout::Layout};

/// What a batch does to side tables.
#[derive(Default)]
pub(super) struct Entries {
    by_side_table: BTreeMap<String, SideTable>,
}

struct SideTable {
    insert: String,
    delete: String,
    moves: Vec<Move>,
}

/// An entry that is to come or to go. A document is written once in a batch, so no entry does both.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    element: Scalar,
    /// The index's other fields and the document's key.
    rest: Arc<[Scalar]>,
    added: bool,
}

impl Entries {
    /// The document `key` had the fields `old` and has the fields `new`: only what differs is touched.
    pub(super) fn replace(
        &mut self,
        table: &Layout,
        key: &str,
        old: Option<&[Field<'_>]>,
        new: Option<&[Field<'_>]>,
    ) {
        for (index, array) in table.array_indexes() {
            if old.is_some() && written(table, index, old) == written(table, index, new) {
                continue;
            }
            let (old_rest, new_rest) =
                (rest(table, index, array, key, old), rest(table, index, array, key, new));
            let same_rest = old_rest == new_rest;
            let place = table.place(array);
            let elements = |fields: Option<&[Field<'_>]>, rest: &Option<_>| {
                let fields = fields.filter(|_| rest.is_some());
                fields.map(|fields| fields[place].elements()).unwrap_or_default()
            };
            let (old, new) = (elements(old, &old_rest), elements(new, &new_rest));
            let name = table.index_name(index);
            let side_table =
                self.by_side_table.entry(name).or_insert_with_key(|name| SideTable::new(name, index, array));
            if let Some(rest) = old_rest {
                let gone = old.iter().filter(|element| !same_rest || !new.contains(element));
                side_table.add(gone, &rest, false);
            }
            if let Some(rest) = new_rest {
                let come = new.iter().filter(|element| !same_rest || !old.contains(element));
                side_table.add(come, &rest, true);
            }
        }
    }

    pub(super) fn carry_out(self, connection: &Connection) -> Result<(), Failure> {
        for mut side_table in self.by_side_table.into_values() {
            side_table.moves.sort_unstable();
            let mut insert = connection.prepare_cached(&side_table.insert)?;
            let mut delete = connection.prepare_cached(&side_table.delete)?;
            for Move { element, rest, added } in &side_table.moves {
                let values = [element].into_iter().chain(rest.iter()).map(Bound);
                let statement = if *added { &mut insert } else { &mut delete };
                statement.execute(params_from_iter(values))?;
            }
        }
        Ok(())
    }
}

impl SideTable {
    fn new(name: &str, index: &Index, array: &str) -> Self {
        let others = index.fields.iter().filter(|field| **field != array);
        let conditions: String = others.clone().map(|field| format!(" AND f_{field} = ?")).collect();
        let marks = ", ?".repeat(others.count() + 1);
        Self {
            insert: format!("INSERT INTO {name} VALUES (?{marks})"),
            delete: format!("DELETE FROM {name} WHERE element = ?{conditions} AND key = ?"),
            moves: Vec::new(),
        }
    }

    fn add<'a>(&mut self, elements: impl Iterator<Item = &'a Scalar>, rest: &Arc<[Scalar]>, added: bool) {
        let moves = elements.map(|element| Move { element: element.clone(), rest: Arc::clone(rest), added });
        self.moves.extend(moves);
    }
}

/// The index's fields as they are written in a document.
fn written<'t>(table: &Layout, index: &Index, fields: Option<&[Field<'t>]>) -> Option<Vec<Field<'t>>> {
    fields.map(|fields| index.fields.iter().map(|field| fields[table.place(field)]).collect())
}

/// The index's other fields and the key; `None` when one of them has no value: then there are no entries.
fn rest(
    table: &Layout,
    index: &Index,
    array: &str,
    key: &str,
    fields: Option<&[Field<'_>]>,
) -> Option<Arc<[Scalar]>> {
    let fields = fields?;
    let others = index.fields.iter().filter(|field| **field != array);
    let others = others.map(|field| fields[table.place(field)].scalar());
    others.chain([Some(Scalar::Text(key.to_owned()))]).collect()
}
